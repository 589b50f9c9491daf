// The 16-bit formats, the C++ type of a dtype, and integer division for hosts and devices.
#pragma once

#include <cstdint>

#include "so8t.h"

#if defined(__CUDACC__)
#define SO8T_HOST_DEVICE __host__ __device__
#define SO8T_UNROLL _Pragma("unroll")
#else
#define SO8T_HOST_DEVICE
#define SO8T_UNROLL
#endif

namespace so8t {

struct bf16 {
    uint16_t bits;
};
struct f16 {
    uint16_t bits;
};

// f(T{}) with T the C++ type of a dtype that is float32 or bfloat16,
template <class F>
void by_compute(int32_t dtype, F&& f) {
    if (dtype == SO8T_BFLOAT16) {
        f(bf16{});
    } else {
        f(float{});
    }
}
// or float16 too,
template <class F>
void by_float(int32_t dtype, F&& f) {
    if (dtype == SO8T_FLOAT16) {
        f(f16{});
    } else {
        by_compute(dtype, f);
    }
}
// or int8 too.
template <class F>
void by_number(int32_t dtype, F&& f) {
    if (dtype == SO8T_INT8) {
        f(int8_t{});
    } else {
        by_float(dtype, f);
    }
}

// The dtype of a compute type.
template <class T>
constexpr int32_t dtype_of() {
    return sizeof(T) == 2 ? SO8T_BFLOAT16 : SO8T_FLOAT32;
}

SO8T_HOST_DEVICE inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
SO8T_HOST_DEVICE inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace so8t
