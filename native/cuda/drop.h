// Dropout as a pass of its own over a matrix.
#pragma once

#include "dropout.h"
#include "operations.h"

namespace so8t::cuda {

// y = x where kept, else 0; not scaled. y has x's dtype and may be x.
void drop(Context& c, const Dropout& d, int64_t rows, int64_t columns, const View& x, void* y, int64_t y_stride);

}  // namespace so8t::cuda
