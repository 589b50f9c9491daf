// The operations of one instruction set; each is defined in the file named after it.
#pragma once

#include "context.h"
#include "dtypes.h"
#include "simd.h"

namespace so8t::SO8T_ISA {

#define OPERATION(name, params) void name(Context&, const so8t_##params##_params&);
#include "operations.def"
#undef OPERATION

// Rows of one unit of work: about 64 KiB, few enough to spread over threads and enough to outweigh taking a unit.
inline int64_t rows_per_unit(int64_t columns) {
    int64_t n = 16384 / (columns > 0 ? columns : 1);
    return n < 1 ? 1 : n;
}

}  // namespace so8t::SO8T_ISA
