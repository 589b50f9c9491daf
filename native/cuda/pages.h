// The page table of a cache of keys and values.
#pragma once

#include "operations.h"

namespace so8t::cuda {

struct Pages {
    const int32_t* table;
    int64_t slots, capacity, per_slot, size, count;

    // Of the cache, for a position of a slot; -1 where one of them or the table is wrong, which the queued checks report.
    __device__ int64_t row(int64_t slot, int64_t position) const {
        if (slot < 0 || slot >= slots || position < 0 || position >= capacity) return -1;
        const int64_t page = table[slot * per_slot + position / size];
        return page < 0 || page >= count ? -1 : page * size + position % size;
    }
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
    check_range(c, table, "pages", p.slots * per_slot, 0, p.page_count);
    return {table.as<int32_t>(), p.slots, p.capacity, per_slot, p.page_size, p.page_count};
}

}  // namespace so8t::cuda
