// The masks of abi/dropout.h, drawn by whole vectors: which elements of a row are kept, as bits.
#pragma once

#include "dropout.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

// Bit j % 32 of word j / 32 tells whether column begin + j is kept. begin is a multiple of 8; words holds n bits rounded up to 64.
void keep_bits(const Dropout& d, int64_t row, int64_t begin, int64_t n, uint32_t* words);

// y = x where kept, else 0
void copy_kept(const float* x, float* y, int64_t n, const uint32_t* words);
void copy_kept(const bf16* x, bf16* y, int64_t n, const uint32_t* words);

}  // namespace so8t::SO8T_ISA
