// One table of operations for each instruction set.
#pragma once

#include "context.h"

namespace so8t {

struct OpTable {
#define OPERATION(name, params) void (*name)(Context&, const so8t_##params##_params&);
#include "operations.def"
#undef OPERATION
};

namespace avx2 {
extern const OpTable table;
}
namespace avx512 {
extern const OpTable table;
}
namespace avx512_bf16 {
extern const OpTable table;
}

}  // namespace so8t
