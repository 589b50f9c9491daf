// The page table of a cache of keys and values, as so8t.h describes it.
#pragma once

#include "dtypes.h"

namespace so8t {

struct Pages {
    const int32_t* table;
    int64_t slots, capacity, per_slot, size, count;

    // The cache's row of a slot's position, all three known to be in range.
    SO8T_HOST_DEVICE int64_t row(int64_t slot, int64_t position) const { return table[slot * per_slot + position / size] * size + position % size; }
    // The same, or -1 where one of them is out of range: a GPU's checks are only queued when its kernels run.
    SO8T_HOST_DEVICE int64_t row_or_none(int64_t slot, int64_t position) const {
        if (slot < 0 || slot >= slots || position < 0 || position >= capacity) return -1;
        const int64_t page = table[slot * per_slot + position / size];
        return page < 0 || page >= count ? -1 : page * size + position % size;
    }
};

}  // namespace so8t
