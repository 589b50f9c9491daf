// The adapter's part of a linear layer's gradient where its input had dropout.
#pragma once

#include "dropout.h"
#include "operations.h"

namespace so8t::cuda {

// dx = (dz A) * mask / (1 - p): dz [rows, columns], a [columns, in], dx [rows, in].
void lora_dx(Context& c, const Dropout& d, int64_t rows, int64_t in, int64_t columns, const View& dz, const View& a, const View& dx);

}  // namespace so8t::cuda
