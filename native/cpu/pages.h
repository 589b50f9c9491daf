// The page table of a cache of keys and values.
#pragma once

#include "operations.h"

namespace so8t::SO8T_ISA {

struct Pages {
    const int32_t* table;
    int64_t per_slot, size;

    // Of the cache, for a position of a slot.
    int64_t row(int64_t slot, int64_t position) const { return table[slot * per_slot + position / size] * size + position % size; }
};

template <class P>
Pages pages_of(Context& c, const P& p) {
    check_size("slots", p.slots);
    check_size("capacity", p.capacity);
    check_size("page_size", p.page_size, 1);
    check_size("page_count", p.page_count);
    if (p.capacity % p.page_size != 0) fail("capacity %lld is no multiple of page_size %lld", static_cast<long long>(p.capacity), static_cast<long long>(p.page_size));
    const int64_t per_slot = p.capacity / p.page_size;
    const View table = c.vector(p.pages, "pages", p.slots * per_slot, kI32);
    check_range(table, "pages", p.slots * per_slot, 0, p.page_count);
    return {table.as<int32_t>(), per_slot, p.page_size};
}

}  // namespace so8t::SO8T_ISA
