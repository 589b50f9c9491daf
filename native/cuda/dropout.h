// The counter-based dropout of so8t.h: which elements of a row are kept, as bits. Philox4x32-10, Salmon et al.,
// "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
#pragma once

#include "operations.h"

namespace so8t::cuda {

// By value into kernels.
struct Dropout {
    bool on = false;
    uint32_t threshold = 0;  // 16-bit numbers below it are dropped
    float inverse = 1;       // 1 / (1 - p), p as the threshold has it
    uint32_t key[2] = {0, 0};
    const int32_t* sample = nullptr;
    const int32_t* position = nullptr;
};

Dropout dropout_of(Context& c, const so8t_dropout& d, int64_t rows);

// y = x where kept, else 0; not scaled. y has x's dtype and may be x.
void drop(Context& c, const Dropout& d, int64_t rows, int64_t columns, const View& x, void* y, int64_t y_stride);

__host__ __device__ inline void philox(uint32_t (&c)[4], uint32_t k0, uint32_t k1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c[0], p1 = static_cast<uint64_t>(0xCD9E8D57u) * c[2];
        c[0] = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0;
        c[1] = static_cast<uint32_t>(p1);
        c[2] = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1;
        c[3] = static_cast<uint32_t>(p0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

// Bit i says whether column + i is kept; column is a multiple of 8.
__device__ inline uint32_t kept8(const Dropout& d, int64_t row, int64_t column) {
    uint32_t draw[4] = {static_cast<uint32_t>(column / 8), static_cast<uint32_t>(d.position[row]), static_cast<uint32_t>(d.sample[row]), 0};
    philox(draw, d.key[0], d.key[1]);
    uint32_t bits = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        bits |= static_cast<uint32_t>((draw[i] & 0xFFFFu) >= d.threshold) << (2 * i);
        bits |= static_cast<uint32_t>(draw[i] >> 16 >= d.threshold) << (2 * i + 1);
    }
    return bits;
}

}  // namespace so8t::cuda
