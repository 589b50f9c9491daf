// The operations; each is defined in the file named after it.
#pragma once

#include <type_traits>

#include "context.h"
#include "device.h"

namespace so8t::cuda {

#define OPERATION(name, params) void name(Context&, const so8t_##params##_params&);
#include "operations.def"
#undef OPERATION

// Whether every row begins on a 16-byte boundary.
inline bool wide(const View& v) { return reinterpret_cast<uintptr_t>(v.data) % 16 == 0 && v.stride * dtype_bytes(v.dtype) % 16 == 0; }
template <class... Views>
bool wide(const View& v, const Views&... more) {
    return wide(v) && wide(more...);
}

// f(integral_constant<int, V>): as many elements of T as 16 bytes hold if the views are wide and columns a multiple, else 1.
template <class T, class F, class... Views>
void by_width(int64_t columns, F&& f, const Views&... views) {
    constexpr int V = 16 / sizeof(T);
    if (columns % V == 0 && wide(views...)) {
        f(std::integral_constant<int, V>{});
    } else {
        f(std::integral_constant<int, 1>{});
    }
}

}  // namespace so8t::cuda
