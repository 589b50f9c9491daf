// The operations of one instruction set; each is defined in the file named after it.
#pragma once

#include "context.h"
#include "simd.h"

namespace so8t::SO8T_ISA {

#define OPERATION(name, params) void name(Context&, const so8t_##params##_params&);
#include "operations.def"
#undef OPERATION

// f(T{}) with T the C++ type of a compute dtype.
template <class F>
void by_compute(int32_t dtype, F&& f) {
    if (dtype == SO8T_BFLOAT16) {
        f(bf16{});
    } else {
        f(float{});
    }
}

template <class F>
void by_float(int32_t dtype, F&& f) {
    if (dtype == SO8T_BFLOAT16) {
        f(bf16{});
    } else if (dtype == SO8T_FLOAT16) {
        f(f16{});
    } else {
        f(float{});
    }
}

// Rows of one unit of work, so that a unit moves about 64 KiB: small enough to spread, large enough to be worth a counter.
inline int64_t rows_per_unit(int64_t columns) {
    int64_t n = 16384 / (columns > 0 ? columns : 1);
    return n < 1 ? 1 : n;
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace so8t::SO8T_ISA
