#include "operations.h"
namespace so8t::cuda {
#define OPERATION(name, params) __attribute__((weak)) void name(Context&, const so8t_##params##_params&) { fail("not written yet"); }
#include "operations.def"
}
