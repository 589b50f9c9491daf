// Products of a few rows, as decoding takes them: the time goes into reading the weight.
#pragma once

#include "weight.h"

namespace so8t::SO8T_ISA {

constexpr int64_t kFewRows = 16;     // the sequences that are decoded at once by default; beyond about 32 packed panels are faster
constexpr int64_t kFewOutputs = 32;  // of one unit of work

// c[m, n] (+)= x W[row .. row + n]^T, x [m, in]. A row of c has the same bits whatever m is.
template <class T>
void few_rows(Worker& w, const Weight& weight, int64_t row, int64_t n, const View& x, int64_t m, float* c, int64_t ldc, bool accumulate);

}  // namespace so8t::SO8T_ISA
