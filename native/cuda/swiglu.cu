// y = silu(gate) * up, silu(g) = g / (1 + e^-g). Shazeer, arXiv 2002.05202.
// dgate = dy * up * s * (1 + gate * (1 - s)), dup = dy * gate * s, s = 1 / (1 + e^-gate)
// Reference: TestOperations/swiglu in native/layers_test.go.
#include "checks/layers.h"
#include "layout.h"
#include "ptx.h"

namespace so8t::cuda {

namespace {

template <class T, int V>
__global__ void __launch_bounds__(kSweepThreads) forward_kernel(int64_t rows, int64_t columns, const T* gate_up, int64_t in_stride, T* y, int64_t y_stride) {
    wait_for_previous();
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
__global__ void __launch_bounds__(kSweepThreads)
    backward_kernel(int64_t rows, int64_t columns, const T* gate_up, int64_t in_stride, const T* dy, int64_t dy_stride, T* dgate_up, int64_t d_stride) {
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
    const SwiGLUForwardViews v = check(c, p);
    if (p.rows == 0 || p.columns == 0) return;
    by_compute(v.gate_up.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_width<T>(
            p.columns,
            [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = sweep_of(c, p.rows, p.columns / V);
                LAUNCH_NEXT((forward_kernel<T, V>), l.grid, l.block, 0, c, p.rows, p.columns, v.gate_up.as<T>(), v.gate_up.stride, v.y.as<T>(), v.y.stride);
            },
            v.gate_up, v.y);
    });
    launched("swiglu_forward");
}

void swiglu_backward(Context& c, const so8t_swiglu_backward_params& p) {
    const SwiGLUBackwardViews v = check(c, p);
    if (p.rows == 0 || p.columns == 0) return;
    by_compute(v.gate_up.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_width<T>(
            p.columns,
            [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = sweep_of(c, p.rows, p.columns / V);
                LAUNCH((backward_kernel<T, V>), l.grid, l.block, 0, c.stream, p.rows, p.columns, v.gate_up.as<T>(), v.gate_up.stride, v.dy.as<T>(), v.dy.stride,
                       v.dgate_up.as<T>(), v.dgate_up.stride);
            },
            v.gate_up, v.dy, v.dgate_up);
    });
    launched("swiglu_backward");
}

}  // namespace so8t::cuda
