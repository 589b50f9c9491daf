// Decoding has so few rows that the time goes into reading the weight: each of its rows is read once, as it is stored.
#pragma once

#include "weight.h"

namespace so8t::cuda {

constexpr int64_t kFewRows = 8;

struct FewRows {
    int64_t rows = 0;
    View x, y, residual;
    Weight weight;
    View z;  // with slices
    Slices slices;
    float scale = 1;  // of x W^T
};

// y = residual + scale * x W^T + [z_i B_i^T], at most kFewRows rows. The weight is int8 or of the compute type.
void few_rows(Context& c, const FewRows& l);

}  // namespace so8t::cuda
