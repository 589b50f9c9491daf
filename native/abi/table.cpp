#include "table.h"

#include "operations.h"

namespace so8t::SO8T_ISA {

extern const OpTable table;
const OpTable table = {
#define OPERATION(name, params) name,
#include "operations.def"
#undef OPERATION
};

}  // namespace so8t::SO8T_ISA
