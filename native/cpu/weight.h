// A weight as it is stored, and its parts in the compute type.
#pragma once

#include "checks/linear.h"
#include "multiply.h"

namespace so8t::SO8T_ISA {

// A unit of a large product: this many rows of activations by this many rows or columns of the weight, over the whole
// inner dimension. Independent of the number of threads, so that results are too.
constexpr int64_t kTileRows = 512, kPanel = 128;

// absmax / 127 of n rows of an int8 weight
float* scales_of(const Weight& weight, int64_t row, int64_t n, Worker& w);

// c[m, n] = x W[row .. row + n]^T, x [m, in]; c holds m rounded up to 16 rows
template <class T>
void times_rows(Worker& w, const Weight& weight, int64_t row, int64_t n, const View& x, int64_t first, int64_t m, float* c);
// c[m, n] = dy W[:, column .. column + n], dy [m, out]
template <class T>
void times_columns(Worker& w, const Weight& weight, int64_t column, int64_t n, const View& dy, int64_t first, int64_t m, float* c);

// y[j, i] = x[i, j] for i < rows, 0 for rows <= i < padded
template <class T>
void transpose(const T* x, int64_t stride, int64_t rows, int64_t columns, T* y, int64_t y_stride, int64_t padded);

// An adapter's matrix may be the float32 that is trained: rounded() copies it to `copy`, rows * columns elements.
inline bool to_round(const View& x, int32_t compute) { return x.dtype != compute; }
View rounded(Context& c, const View& x, int64_t rows, int64_t columns, bf16* copy);

}  // namespace so8t::SO8T_ISA
