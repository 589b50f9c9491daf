// y[i] = x[index[i]], and its counterpart y[index[i]] = x[i] with zeros elsewhere; keys and values into the cache.
#include "layout.h"
#include "pages.h"

namespace so8t::cuda {

namespace {

template <class F>
void by_any(int32_t dtype, F&& f) {
    if (dtype == SO8T_INT8) {
        f(int8_t{});
    } else {
        by_float(dtype, f);
    }
}

template <class X, class Y, int V>
__global__ void __launch_bounds__(kSweepThreads) gather_kernel(int64_t rows, int64_t columns, int64_t x_rows, const int32_t* index, const X* x, int64_t x_stride, Y* y, int64_t y_stride) {
    sweep(rows, columns / V, [&](int64_t row, int64_t group) {
        const int64_t at = index[row];
        if (at < 0 || at >= x_rows) return;
        float v[V];
        load_floats(x + at * x_stride + group * V, v);
        store_floats(y + row * y_stride + group * V, v);
    });
}

// source[index[i]] = i
__global__ void __launch_bounds__(kSweepThreads) invert_kernel(int64_t rows, int64_t y_rows, const int32_t* index, int32_t* source) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kSweepThreads + threadIdx.x;
    if (i < rows && index[i] >= 0 && index[i] < y_rows) source[index[i]] = static_cast<int32_t>(i);
}

// Each row of y once: from its source, or zeros where that is negative.
template <class X, class Y, int V>
__global__ void __launch_bounds__(kSweepThreads) scatter_kernel(int64_t y_rows, int64_t columns, const int32_t* source, const X* x, int64_t x_stride, Y* y, int64_t y_stride) {
    sweep(y_rows, columns / V, [&](int64_t row, int64_t group) {
        float v[V] = {};
        const int64_t from = source[row];
        if (from >= 0) load_floats(x + from * x_stride + group * V, v);
        store_floats(y + row * y_stride + group * V, v);
    });
}

// Keys and values are one sweep: a new token's few rows would not fill a GPU twice.
template <class T, int V>
__global__ void __launch_bounds__(kSweepThreads) store_kernel(int64_t rows, int64_t columns, Pages pages, const int32_t* slot, const int32_t* position, const T* k, int64_t k_stride, const T* v, int64_t v_stride,
                                                              T* cache_k, int64_t cache_k_stride, T* cache_v, int64_t cache_v_stride) {
    sweep(rows, columns / V, [&](int64_t row, int64_t group) {
        const int64_t to = pages.row(slot[row], position[row]), column = group * V;
        if (to < 0) return;
        store<T, V>(cache_k + to * cache_k_stride + column, load<T, V>(k + row * k_stride + column));
        store<T, V>(cache_v + to * cache_v_stride + column, load<T, V>(v + row * v_stride + column));
    });
}

}  // namespace

void gather_rows(Context& c, const so8t_gather_rows_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    check_size("x_rows", p.x_rows);
    const View index = c.vector(p.index, "index", p.rows, kI32);
    const View x = c.matrix(p.x, "x", p.x_rows, p.columns, kFloat | kI8);
    const View y = c.matrix(p.y, "y", p.rows, p.columns, kFloat);
    check_range(c, index, "index", p.rows, 0, p.x_rows);
    if (p.rows == 0 || p.columns == 0) return;
    by_any(x.dtype, [&](auto from) {
        by_float(y.dtype, [&](auto to) {
            using X = decltype(from);
            using Y = decltype(to);
            by_widest<X, Y>(p.columns % width_of<X, Y>() == 0 && wide(x, y), [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = sweep_of(c, p.rows, p.columns / V);
                LAUNCH((gather_kernel<X, Y, V>), l.grid, l.block, 0, c.stream, p.rows, p.columns, p.x_rows, index.as<int32_t>(), x.as<X>(), x.stride, y.as<Y>(), y.stride);
            });
        });
    });
    launched("gather_rows");
}

void scatter_rows(Context& c, const so8t_scatter_rows_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    check_size("y_rows", p.y_rows);
    const View index = c.vector(p.index, "index", p.rows, kI32);
    const View x = c.matrix(p.x, "x", p.rows, p.columns, kCompute);
    const View y = c.matrix(p.y, "y", p.y_rows, p.columns, kCompute);
    check_range(c, index, "index", p.rows, 0, p.y_rows);
    check_ascending(c, index, "index", p.rows);
    if (p.y_rows == 0 || p.columns == 0) return;
    Scratch scratch(c);
    int32_t* source = scratch.take<int32_t>(p.y_rows);
    check_cuda(cudaMemsetAsync(source, 0xFF, static_cast<size_t>(p.y_rows) * sizeof *source, c.stream), "cudaMemset");
    if (p.rows > 0) {
        LAUNCH(invert_kernel, dim3(static_cast<unsigned>(ceil_div(p.rows, kSweepThreads))), dim3(kSweepThreads), 0, c.stream, p.rows, p.y_rows, index.as<int32_t>(), source);
        launched("scatter_rows");
    }
    by_compute(x.dtype, [&](auto from) {
        by_compute(y.dtype, [&](auto to) {
            using X = decltype(from);
            using Y = decltype(to);
            by_widest<X, Y>(p.columns % width_of<X, Y>() == 0 && wide(x, y), [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = sweep_of(c, p.y_rows, p.columns / V);
                LAUNCH((scatter_kernel<X, Y, V>), l.grid, l.block, 0, c.stream, p.y_rows, p.columns, source, x.as<X>(), x.stride, y.as<Y>(), y.stride);
            });
        });
    });
    launched("scatter_rows");
}

void kv_store(Context& c, const so8t_kv_store_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    const Pages pages = pages_of(c, p);
    const View k = c.matrix(p.k, "k", p.rows, p.columns, kCompute);
    const View v = c.matrix(p.v, "v", p.rows, p.columns, only(k.dtype));
    const View cache_k = c.matrix(p.cache_k, "cache_k", p.page_count * p.page_size, p.columns, only(k.dtype));
    const View cache_v = c.matrix(p.cache_v, "cache_v", p.page_count * p.page_size, p.columns, only(k.dtype));
    const View slot = c.vector(p.slot, "slot", p.rows, kI32);
    const View position = c.vector(p.position, "position", p.rows, kI32);
    check_range(c, slot, "slot", p.rows, 0, p.slots);
    check_range(c, position, "position", p.rows, 0, p.capacity);
    if (p.rows == 0 || p.columns == 0) return;
    by_compute(k.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_width<T>(
            p.columns,
            [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = sweep_of(c, p.rows, p.columns / V);
                LAUNCH((store_kernel<T, V>), l.grid, l.block, 0, c.stream, p.rows, p.columns, pages, slot.as<int32_t>(), position.as<int32_t>(), k.as<T>(), k.stride, v.as<T>(), v.stride, cache_k.as<T>(),
                       cache_k.stride, cache_v.as<T>(), cache_v.stride);
            },
            k, v, cache_k, cache_v);
    });
    launched("kv_store");
}

}  // namespace so8t::cuda
