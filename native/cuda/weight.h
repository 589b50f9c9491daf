// The operands of the linear layers' products, made of the frozen base weight and adapters.
#pragma once

#include "checks/linear.h"
#include "operations.h"

namespace so8t::cuda {

// The B of an adapter's slices: rows [begin, begin + rows) of the weight, each [rows, rank].
struct Slices {
    int count = 0;
    int64_t rank = 0;
    int64_t begin[SO8T_MAX_SLICES], rows[SO8T_MAX_SLICES];
    View b[SO8T_MAX_SLICES];
    int64_t columns() const { return count * rank; }
};

// b in the compute type: in place, or rounded to scratch.
Slices slices_of(Context& c, Scratch& s, const Slice* slice, int64_t count, int64_t rank, int32_t compute);

// x itself if it has this dtype, else a rounded copy in scratch: adapters may be the float32 that is trained.
View in_compute(Context& c, Scratch& s, const View& x, int64_t rows, int64_t columns, int32_t compute);

// An operand of a product, in the compute type.
struct Operand {
    const void* data;
    int64_t ld;
};

// [W | B] as [out, in + columns], B block-diagonal by slices; in place if the weight is kept expanded, or alone has the
// compute type.
template <class T>
Operand beside(Context& c, Scratch& s, const Weight& weight, const Slices& slices);
// [W ; A] as [out + columns, in].
template <class T>
Operand below(Context& c, Scratch& s, const Weight& weight, const View& a, int64_t columns);
// [x | z] as [rows, n + m]; in place if z follows x in the same rows, else a copy.
template <class T>
Operand joined(Context& c, Scratch& s, int64_t rows, const View& x, int64_t n, const View& z, int64_t m);

}  // namespace so8t::cuda
