// y[i] = x[index[i]], and its counterpart y[index[i]] = x[i] with zeros elsewhere; keys and values into the cache.
// Reference: TestOperations/gather_scatter in native/data_test.go.
#include "checks/attention.h"
#include "checks/rows.h"
#include "layout.h"
#include "ptx.h"

namespace so8t::cuda {

namespace {

template <class X, class Y, int V>
__global__ void __launch_bounds__(kSweepThreads)
    gather_kernel(int64_t rows, int64_t columns, int64_t x_rows, const int32_t* index, const X* x, int64_t x_stride, Y* y, int64_t y_stride) {
    wait_for_previous();
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

// Writes each row of y once: from its source, or zeros if that is negative.
template <class X, class Y, int V>
__global__ void __launch_bounds__(kSweepThreads)
    scatter_kernel(int64_t y_rows, int64_t columns, const int32_t* source, const X* x, int64_t x_stride, Y* y, int64_t y_stride) {
    sweep(y_rows, columns / V, [&](int64_t row, int64_t group) {
        float v[V] = {};
        const int64_t from = source[row];
        if (from >= 0) load_floats(x + from * x_stride + group * V, v);
        store_floats(y + row * y_stride + group * V, v);
    });
}

// Keys and values in one sweep: a new token's few rows do not fill a GPU.
template <class T, int V>
__global__ void __launch_bounds__(kSweepThreads)
    store_kernel(int64_t rows, int64_t columns, Pages pages, const int32_t* slot, const int32_t* position, const T* k, int64_t k_stride, const T* v,
                 int64_t v_stride, T* cache_k, int64_t cache_k_stride, T* cache_v, int64_t cache_v_stride) {
    wait_for_previous();
    sweep(rows, columns / V, [&](int64_t row, int64_t group) {
        const int64_t to = pages.row_or_none(slot[row], position[row]), column = group * V;
        if (to < 0) return;
        store<T, V>(cache_k + to * cache_k_stride + column, load<T, V>(k + row * k_stride + column));
        store<T, V>(cache_v + to * cache_v_stride + column, load<T, V>(v + row * v_stride + column));
    });
}

}  // namespace

void gather_rows(Context& c, const so8t_gather_rows_params& p) {
    const GatherRowsViews v = check(c, p);
    if (p.rows == 0 || p.columns == 0) return;
    by_number(v.x.dtype, [&](auto from) {
        by_float(v.y.dtype, [&](auto to) {
            using X = decltype(from);
            using Y = decltype(to);
            by_widest<X, Y>(p.columns % width_of<X, Y>() == 0 && wide(v.x, v.y), [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = sweep_of(c, p.rows, p.columns / V);
                LAUNCH_NEXT((gather_kernel<X, Y, V>), l.grid, l.block, 0, c, p.rows, p.columns, p.x_rows, v.index.as<int32_t>(), v.x.as<X>(), v.x.stride,
                            v.y.as<Y>(), v.y.stride);
            });
        });
    });
    launched("gather_rows");
}

void scatter_rows(Context& c, const so8t_scatter_rows_params& p) {
    const ScatterRowsViews v = check(c, p);
    if (p.y_rows == 0 || p.columns == 0) return;
    Scratch scratch(c);
    int32_t* source = scratch.take<int32_t>(p.y_rows);
    check_cuda(cudaMemsetAsync(source, 0xFF, static_cast<size_t>(p.y_rows) * sizeof *source, c.stream), "cudaMemset");
    if (p.rows > 0) {
        LAUNCH(invert_kernel, dim3(static_cast<unsigned>(ceil_div(p.rows, kSweepThreads))), dim3(kSweepThreads), 0, c.stream, p.rows, p.y_rows,
               v.index.as<int32_t>(), source);
        launched("scatter_rows");
    }
    by_compute(v.x.dtype, [&](auto from) {
        by_compute(v.y.dtype, [&](auto to) {
            using X = decltype(from);
            using Y = decltype(to);
            by_widest<X, Y>(p.columns % width_of<X, Y>() == 0 && wide(v.x, v.y), [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = sweep_of(c, p.y_rows, p.columns / V);
                LAUNCH((scatter_kernel<X, Y, V>), l.grid, l.block, 0, c.stream, p.y_rows, p.columns, source, v.x.as<X>(), v.x.stride, v.y.as<Y>(), v.y.stride);
            });
        });
    });
    launched("scatter_rows");
}

void kv_store(Context& c, const so8t_kv_store_params& p) {
    const KVStoreViews a = check(c, p);
    if (p.rows == 0 || p.columns == 0) return;
    by_compute(a.k.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_width<T>(
            p.columns,
            [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = sweep_of(c, p.rows, p.columns / V);
                LAUNCH_NEXT((store_kernel<T, V>), l.grid, l.block, 0, c, p.rows, p.columns, a.pages, a.slot.as<int32_t>(), a.position.as<int32_t>(),
                            a.k.as<T>(), a.k.stride, a.v.as<T>(), a.v.stride, a.cache_k.as<T>(), a.cache_k.stride, a.cache_v.as<T>(), a.cache_v.stride);
            },
            a.k, a.v, a.cache_k, a.cache_v);
    });
    launched("kv_store");
}

}  // namespace so8t::cuda
