// The dropout mask of abi/dropout.h on bfloat16 in registers, as LoRA's own products draw it.
#pragma once

#include "device.h"
#include "dropout.h"

namespace so8t::cuda {

// Eight values of bfloat16, two a word: zero where the draws drop them. Comparing a whole word with the shifted threshold
// compares its high half.
__device__ inline void keep8(const Dropout& d, const uint32_t (&draw)[4], uint32_t (&x)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (draw[i] << 16 < d.threshold << 16) x[i] &= 0xFFFF0000u;
        if (draw[i] < d.threshold << 16) x[i] &= 0x0000FFFFu;
    }
}

}  // namespace so8t::cuda
