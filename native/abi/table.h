// A table of operations: the CPU library has one for each instruction set, the CUDA library one.
#pragma once

#include "context.h"

namespace so8t {

struct OpTable {
#define OPERATION(name, params) void (*name)(Context&, const so8t_##params##_params&);
#include "operations.def"
#undef OPERATION
};

}  // namespace so8t
