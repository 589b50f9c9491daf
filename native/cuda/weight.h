// A frozen base weight, and what the linear layers make of it before their product.
#pragma once

#include "operations.h"

namespace so8t::cuda {

struct Weight {
    View w;                         // int8, bfloat16 or float32 [out, in]
    const float* absmax = nullptr;  // [out], int8 only: w = q * absmax / 127
    int64_t out = 0, in = 0;
};

Weight weight_of(Context& c, const so8t_tensor& w, const so8t_tensor& absmax, int64_t out, int64_t in);

// The B of an adapter's slices: rows [begin, begin + rows) of the weight, each [rows, rank].
struct Slices {
    int count = 0;
    int64_t rank = 0;
    int64_t begin[SO8T_MAX_SLICES], rows[SO8T_MAX_SLICES];
    View b[SO8T_MAX_SLICES];
    int64_t columns() const { return count * rank; }
};

// compute: the dtype that each B has, or is rounded to in scratch.
Slices slices_of(Context& c, Scratch& s, const so8t_lora_slice* slice, int64_t count, int64_t rank, int64_t out, int32_t compute, int64_t least_rows);

// x itself where it has this dtype, else a rounded copy in scratch: adapters may be the float32 that is trained.
View in_compute(Context& c, Scratch& s, const View& x, int64_t rows, int64_t columns, int32_t compute);

// A side of a product, in the compute type.
struct Operand {
    const void* data;
    int64_t ld;
};

// [W | B] as [out, in + columns], B block-diagonal by slices. The weight itself where that is all there is.
template <class T>
Operand beside(Context& c, Scratch& s, const Weight& weight, const Slices& slices);
// [W ; A] as [out + columns, in].
template <class T>
Operand below(Context& c, Scratch& s, const Weight& weight, const View& a, int64_t columns);
// [x | z] as [rows, n + m]: as they lie where z is right behind x in the same rows, else a copy.
template <class T>
Operand joined(Context& c, Scratch& s, int64_t rows, const View& x, int64_t n, const View& z, int64_t m);

}  // namespace so8t::cuda
