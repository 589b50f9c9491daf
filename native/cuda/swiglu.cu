// y = silu(gate) * up, silu(g) = g / (1 + e^-g). Shazeer, arXiv 2002.05202.
// dgate = dy * up * s * (1 + gate * (1 - s)), dup = dy * gate * s, s = 1 / (1 + e^-gate)
#include "layout.h"

namespace so8t::cuda {

namespace {

template <class T, int V>
__global__ void __launch_bounds__(kSweepThreads) forward_kernel(int64_t rows, int64_t columns, const T* gate_up, int64_t in_stride, T* y, int64_t y_stride) {
    sweep(rows, columns / V, [&](int64_t row, int64_t group) {
        const T* gate = gate_up + row * in_stride + group * V;
        float g[V], u[V];
        load_floats(gate, g);
        load_floats(gate + columns, u);
#pragma unroll
        for (int i = 0; i < V; i++) u[i] *= g[i] / (1.0f + expf(-g[i]));
        store_floats(y + row * y_stride + group * V, u);
    });
}

// dgate_up may be gate_up: a thread reads both of its groups before it writes them.
template <class T, int V>
__global__ void __launch_bounds__(kSweepThreads) backward_kernel(int64_t rows, int64_t columns, const T* gate_up, int64_t in_stride, const T* dy, int64_t dy_stride, T* dgate_up, int64_t d_stride) {
    sweep(rows, columns / V, [&](int64_t row, int64_t group) {
        const T* gate = gate_up + row * in_stride + group * V;
        T* dgate = dgate_up + row * d_stride + group * V;
        float g[V], u[V], e[V];
        load_floats(gate, g);
        load_floats(gate + columns, u);
        load_floats(dy + row * dy_stride + group * V, e);
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float s = 1.0f / (1.0f + expf(-g[i]));
            u[i] *= e[i] * s * (1.0f + g[i] * (1.0f - s));
            e[i] *= g[i] * s;
        }
        store_floats(dgate, u);
        store_floats(dgate + columns, e);
    });
}

}  // namespace

void swiglu_forward(Context& c, const so8t_swiglu_forward_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    const View in = c.matrix(p.gate_up, "gate_up", p.rows, 2 * p.columns, kCompute);
    const View y = c.matrix(p.y, "y", p.rows, p.columns, only(in.dtype));
    if (p.rows == 0 || p.columns == 0) return;
    by_compute(in.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_width<T>(
            p.columns,
            [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = sweep_of(c, p.rows, p.columns / V);
                LAUNCH((forward_kernel<T, V>), l.grid, l.block, 0, c.stream, p.rows, p.columns, in.as<T>(), in.stride, y.as<T>(), y.stride);
            },
            in, y);
    });
    launched("swiglu_forward");
}

void swiglu_backward(Context& c, const so8t_swiglu_backward_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    const View in = c.matrix(p.gate_up, "gate_up", p.rows, 2 * p.columns, kCompute);
    const View dy = c.matrix(p.dy, "dy", p.rows, p.columns, only(in.dtype));
    const View d = c.matrix(p.dgate_up, "dgate_up", p.rows, 2 * p.columns, only(in.dtype));
    if (p.rows == 0 || p.columns == 0) return;
    by_compute(in.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_width<T>(
            p.columns,
            [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = sweep_of(c, p.rows, p.columns / V);
                LAUNCH((backward_kernel<T, V>), l.grid, l.block, 0, c.stream, p.rows, p.columns, in.as<T>(), in.stride, dy.as<T>(), dy.stride, d.as<T>(), d.stride);
            },
            in, dy, d);
    });
    launched("swiglu_backward");
}

}  // namespace so8t::cuda
