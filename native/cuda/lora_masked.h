// LoRA's products with a masked input, in bfloat16 on tensor cores.
#pragma once

#include "dropout.h"
#include "operations.h"

namespace so8t::cuda {

// Whether these operands fit: bfloat16, and whole vectors of 16 bytes. y is z or a_grad.
bool fits_masked(int64_t in, int64_t columns, const View& x, const View& w, const View& y);

// z = scale * mask(x) A^T: x [rows, in], a [columns, in]. A row's bits do not depend on how many others there are.
void masked_down(Context& c, const Dropout& d, int64_t rows, int64_t in, int64_t columns, const View& x, const View& a, float scale, const View& z);

// a_grad += dz^T mask(x) / (1 - p): dz [rows, columns], a_grad float32 [columns, in].
void masked_gradient(Context& c, const Dropout& d, int64_t rows, int64_t in, int64_t columns, const View& x, const View& dz, const View& a_grad);

}  // namespace so8t::cuda
