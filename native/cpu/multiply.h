// C = A B (+ C) by one thread; every operation multiplies through this.
//
// oneDNN multiplies float32 everywhere, and bfloat16 where the CPU has AMX. With AVX512_BF16 but no AMX, bfloat16 goes
// through the kernel in multiply.cpp: it expands int8 weights into the layout that the instruction needs, takes rows of any
// stride and number without a primitive for each shape, and adds to C in registers.
#pragma once

#include "gemm.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

// C holds m rounded up to 16 rows.
template <class T>
void multiply(Worker& w, Gemm g);

// B in pairs of its inner dimension: columns in blocks of 64, each [k / 2, 64, 2], padded with zeros.
inline int64_t packed_size(int64_t n, int64_t k) { return round_up(n, 64) * round_up(k, 2); }
constexpr int64_t kPackedDepth = 1024;  // inner dimension of one packed panel: 128 columns of it take 256 KiB

// Whether this thread multiplies T by packed panels.
template <class T>
bool packs(const Worker& w);

// From rows [n, k] or [k, n]; int8 is scaled by rows with scale[i].
void pack_nk(const bf16* b, int64_t ld, int64_t n, int64_t k, bf16* packed);
void pack_kn(const bf16* b, int64_t ld, int64_t n, int64_t k, bf16* packed);
void pack_nk(const int8_t* b, int64_t ld, const float* scale, int64_t n, int64_t k, bf16* packed);
void pack_kn(const int8_t* b, int64_t ld, const float* scale, int64_t n, int64_t k, bf16* packed);
void pack_nk(const float* b, int64_t ld, int64_t n, int64_t k, bf16* packed);
void pack_kn(const float* b, int64_t ld, int64_t n, int64_t k, bf16* packed);
// depth: the inner dimension that B was packed with, if it is more than k; 0: k
void multiply_packed(int64_t m, int64_t n, int64_t k, const bf16* a, int64_t lda, const bf16* packed, float* c, int64_t ldc, bool accumulate,
                     int64_t depth = 0);

}  // namespace so8t::SO8T_ISA
