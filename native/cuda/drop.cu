// y = x where the mask of abi/dropout.h keeps it, else 0.
// Reference: TestOperations/lora in native/linear_test.go.
#include "drop.h"

#include "layout.h"

namespace so8t::cuda {

namespace {

// One draw, eight columns a thread.
template <class T, bool Wide>
__global__ void __launch_bounds__(kSweepThreads) drop_kernel(Dropout d, int64_t rows, int64_t columns, const T* x, int64_t x_stride, T* y, int64_t y_stride) {
    sweep(rows, ceil_div(columns, 8), [&](int64_t row, int64_t group) {
        const int64_t column = group * 8;
        const T* from = x + row * x_stride + column;
        T* to = y + row * y_stride + column;
        const T none = rounded<T>(0.0f);
        if (Wide) {
            Vec<T, 8> v = load<T, 8>(from);
            const uint32_t kept = kept8(d, row, column);
#pragma unroll
            for (int i = 0; i < 8; i++) v.at[i] = kept >> i & 1 ? v.at[i] : none;
            store<T, 8>(to, v);
        } else {
            const uint32_t kept = kept8(d, row, column);
            for (int i = 0; i < 8 && column + i < columns; i++) to[i] = kept >> i & 1 ? from[i] : none;
        }
    });
}

}  // namespace

void drop(Context& c, const Dropout& d, int64_t rows, int64_t columns, const View& x, void* y, int64_t y_stride) {
    if (rows == 0 || columns == 0) return;
    const View to{static_cast<char*>(y), y_stride, x.dtype};
    const Layout l = sweep_of(c, rows, ceil_div(columns, 8));
    by_compute(x.dtype, [&](auto tag) {
        using T = decltype(tag);
        if (columns % 8 == 0 && wide(x, to)) {
            LAUNCH((drop_kernel<T, true>), l.grid, l.block, 0, c.stream, d, rows, columns, x.as<T>(), x.stride, static_cast<T*>(y), y_stride);
        } else {
            LAUNCH((drop_kernel<T, false>), l.grid, l.block, 0, c.stream, d, rows, columns, x.as<T>(), x.stride, static_cast<T*>(y), y_stride);
        }
        launched("drop");
    });
}

}  // namespace so8t::cuda
