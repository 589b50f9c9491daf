// The counter-based dropout of so8t.h: which elements of a row are kept, as bits.
#pragma once

#include "operations.h"

namespace so8t::SO8T_ISA {

struct Dropout {
    bool on = false;
    uint32_t threshold = 0;  // 16-bit numbers below it are dropped
    float inverse = 1;       // 1 / (1 - p), p as the threshold has it
    uint32_t key[2] = {0, 0};
    const int32_t* sample = nullptr;
    const int32_t* position = nullptr;
};

Dropout dropout_of(Context& c, const so8t_dropout& d, int64_t rows);

// Bit j % 32 of word j / 32 says whether column begin + j is kept. begin is a multiple of 8; words: room for n rounded up to 64.
void keep_bits(const Dropout& d, int64_t row, int64_t begin, int64_t n, uint32_t* words);

// y = x where kept, else 0
void copy_kept(const float* x, float* y, int64_t n, const uint32_t* words);
void copy_kept(const bf16* x, bf16* y, int64_t n, const uint32_t* words);

}  // namespace so8t::SO8T_ISA
