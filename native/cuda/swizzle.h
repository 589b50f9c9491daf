// Where a tile of bfloat16 [rows, D] has its elements in shared memory.
#pragma once

#include "device.h"

namespace so8t::cuda {

// Rows have no gaps; their 16-byte chunks are swizzled within groups, so that the same chunk of eight rows lies in
// eight different banks, which ldmatrix needs.
template <int D>
constexpr int kGroup = D % 64 == 0   ? 8
                       : D % 32 == 0 ? 4
                                     : 2;
template <int D>
__device__ inline int at(int row, int chunk) {
    return row * D + (chunk ^ (row / (8 / kGroup<D>) % kGroup<D>)) * 8;
}

}  // namespace so8t::cuda
