// Decoding has so few rows that the time goes into reading the weight: each of its rows is read once, as it is stored. Up to
// kFewRows rows are multiplied on CUDA cores, in bfloat16 up to kMmaRows on tensor cores.
#pragma once

#include "weight.h"

namespace so8t::cuda {

constexpr int64_t kFewRows = 8, kMmaRows = 128;

struct FewRows {
    int64_t rows = 0;
    View x, y, residual;
    Weight weight;
    View z;  // with slices
    Slices slices;
    float scale = 1;  // of x W^T
};

// Whether these are few rows, of a compute type and a weight's, for few_rows.
inline bool are_few(int64_t rows, int32_t compute, int32_t weight) {
    return (weight == SO8T_INT8 || weight == compute) && rows <= (compute == SO8T_BFLOAT16 ? kMmaRows : kFewRows);
}

// y = residual + scale * x W^T + [z_i B_i^T]
void few_rows(Context& c, const FewRows& l);
void few_rows_mma(Context& c, const FewRows& l);  // for more than kFewRows of them

}  // namespace so8t::cuda
