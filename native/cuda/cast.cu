// y = x in another float format; x = 0.
// Reference: TestOperations/cast and TestCastFloat16 in native/data_test.go.
#include "checks/rows.h"
#include "layout.h"

namespace so8t::cuda {

namespace {

template <class X, class Y, int V>
__global__ void __launch_bounds__(kSweepThreads) cast_kernel(int64_t rows, int64_t columns, const X* x, int64_t x_stride, Y* y, int64_t y_stride) {
    sweep(rows, ceil_div(columns, V), [&](int64_t row, int64_t group) {
        const int64_t column = group * V;
        const X* from = x + row * x_stride + column;
        Y* to = y + row * y_stride + column;
        if (column + V <= columns) {
            float v[V];
            load_floats(from, v);
            store_floats(to, v);
        } else {
#pragma unroll 1
            for (int i = 0; i < columns - column; i++) from_float(to_float(from[i]), to[i]);
        }
    });
}

}  // namespace

void zero(Context& c, const so8t_zero_params& p) {
    const View x = check(c, p).x;
    const size_t size = static_cast<size_t>(dtype_bytes(x.dtype)), width = static_cast<size_t>(p.columns) * size, rows = static_cast<size_t>(p.rows);
    if (width == 0 || rows == 0) return;
    if (x.stride == p.columns || p.rows == 1) {
        check_cuda(cudaMemsetAsync(x.data, 0, rows * width, c.stream), "cudaMemset");
    } else {
        check_cuda(cudaMemset2DAsync(x.data, static_cast<size_t>(x.stride) * size, 0, width, rows, c.stream), "cudaMemset2D");
    }
    if (x.dtype == SO8T_INT32) integers_changed(c);
}

void cast(Context& c, const so8t_cast_params& p) {
    const CastViews v = check(c, p);
    int64_t rows = p.rows, columns = p.columns;
    if (rows == 0 || columns == 0) return;
    if (v.x.stride == columns && v.y.stride == columns) {  // one long row
        columns *= rows;
        rows = 1;
    }
    by_float(v.x.dtype, [&](auto from) {
        by_float(v.y.dtype, [&](auto to) {
            using X = decltype(from);
            using Y = decltype(to);
            by_widest<X, Y>(rows == 1 ? aligned16(v.x.data, v.y.data) : wide(v.x, v.y), [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = sweep_of(c, rows, ceil_div(columns, V));
                LAUNCH((cast_kernel<X, Y, V>), l.grid, l.block, 0, c.stream, rows, columns, v.x.as<X>(), v.x.stride, v.y.as<Y>(), v.y.stride);
            });
        });
    });
    launched("cast");
}

}  // namespace so8t::cuda
