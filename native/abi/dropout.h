// The counter-based dropout of so8t.h: a mask that its inputs alone decide, drawn where it is used and never stored.
// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
#pragma once

#include "buffers.h"
#include "dtypes.h"

namespace so8t {

// Passed by value into kernels.
struct Dropout {
    bool on = false;
    uint32_t threshold = 0;  // 16-bit draws below it are dropped
    float inverse = 1;       // 1 / (1 - p), p rounded as the threshold is
    uint32_t key[2] = {0, 0};
    const int32_t* sample = nullptr;
    const int32_t* position = nullptr;
};

Dropout dropout_of(const Buffers& c, const so8t_dropout& d, int64_t rows);

constexpr uint32_t kPhiloxM0 = 0xD2511F53, kPhiloxM1 = 0xCD9E8D57, kPhiloxW0 = 0x9E3779B9, kPhiloxW1 = 0xBB67AE85;

SO8T_HOST_DEVICE inline void philox(uint32_t (&c)[4], uint32_t k0, uint32_t k1) {
    SO8T_UNROLL
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = static_cast<uint64_t>(kPhiloxM0) * c[0], p1 = static_cast<uint64_t>(kPhiloxM1) * c[2];
        c[0] = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0;
        c[1] = static_cast<uint32_t>(p1);
        c[2] = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1;
        c[3] = static_cast<uint32_t>(p0);
        k0 += kPhiloxW0;
        k1 += kPhiloxW1;
    }
}

// Sixteen bits for each of the columns from 8 * group on, the even ones' in the low halves.
SO8T_HOST_DEVICE inline void draw8(const Dropout& d, int32_t sample, int32_t position, uint32_t group, uint32_t (&draw)[4]) {
    draw[0] = group;
    draw[1] = static_cast<uint32_t>(position);
    draw[2] = static_cast<uint32_t>(sample);
    draw[3] = 0;
    philox(draw, d.key[0], d.key[1]);
}

// Bit i tells whether column + i is kept; column is a multiple of 8. The CPU draws whole vectors of these at once.
SO8T_HOST_DEVICE inline uint32_t kept8(const Dropout& d, int64_t row, int64_t column) {
    uint32_t draw[4], bits = 0;
    draw8(d, d.sample[row], d.position[row], static_cast<uint32_t>(column / 8), draw);
    SO8T_UNROLL
    for (int i = 0; i < 4; i++) {
        bits |= static_cast<uint32_t>((draw[i] & 0xFFFFu) >= d.threshold) << (2 * i);
        bits |= static_cast<uint32_t>(draw[i] >> 16 >= d.threshold) << (2 * i + 1);
    }
    return bits;
}

}  // namespace so8t
