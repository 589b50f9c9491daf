// y = weight * x * rstd, rstd = 1 / sqrt(mean(x^2) + epsilon). Zhang and Sennrich, arXiv 1910.07467.
// dx = residual + rstd * (w dy - x * rstd^2 * mean(w dy x))
// Reference: TestOperations/rmsnorm in native/layers_test.go.
#include "checks/layers.h"
#include "layout.h"
#include "ptx.h"

namespace so8t::cuda {

namespace {

constexpr int kThreads = 512;
constexpr int kHeld = 4;  // groups of a row in a thread's registers: up to 16384 columns of bfloat16

template <class T, class W, int V>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(int64_t rows, int columns, const T* x, int64_t x_stride, const W* weight, T* y, int64_t y_stride, float* rstd, float epsilon) {
    wait_for_previous();
    lines(rows, [&](int64_t row) {
        const T* from = x + row * x_stride;
        T* to = y + row * y_stride;
        Vec<T, V> held[kHeld];
        float squares = 0;
        const auto add = [&](const Vec<T, V>& v) {
#pragma unroll
            for (int i = 0; i < V; i++) squares += to_float(v.at[i]) * to_float(v.at[i]);
        };
        groups_of_line<kHeld>(
            columns / V,
            [&](int at, int k) {
                held[k] = load<T, V>(from + at * V);
                add(held[k]);
            },
            [&](int at) { add(load<T, V>(from + at * V)); });
        const float r = 1.0f / sqrtf(line_sum(squares) / static_cast<float>(columns) + epsilon);
        if (threadIdx.x == 0) rstd[row] = r;
        const auto write = [&](const Vec<T, V>& v, int at) {
            float w[V];
            load_floats(weight + at * V, w);
#pragma unroll
            for (int i = 0; i < V; i++) w[i] *= to_float(v.at[i]) * r;
            store_floats(to + at * V, w);
        };
        const auto write_held = [&](int at, int k) { write(held[k], at); };
        groups_of_line<kHeld>(columns / V, write_held, [&](int at) { write(load<T, V>(from + at * V), at); });
    });
}

// residual may be null; it and dy may be dx: a thread reads and writes only its own groups. Launch bounds of one block per
// multiprocessor let the compiler use enough registers; for more occupancy, of which long rows need little, it would spill.
template <class T, class W, int V>
__global__ void __launch_bounds__(kThreads, 1)
    backward_kernel(int64_t rows, int columns, const T* x, int64_t x_stride, const W* weight, const float* rstd, const T* dy, int64_t dy_stride,
                    const T* residual, int64_t residual_stride, T* dx, int64_t dx_stride) {
    lines(rows, [&](int64_t row) {
        const T *a = x + row * x_stride, *g = dy + row * dy_stride;
        Vec<T, V> held_a[kHeld], held_g[kHeld];
        float dot = 0;
        const auto add = [&](const Vec<T, V>& u, const Vec<T, V>& v, int at) {
            float w[V];
            load_floats(weight + at * V, w);
#pragma unroll
            for (int i = 0; i < V; i++) dot += w[i] * to_float(v.at[i]) * to_float(u.at[i]);
        };
        groups_of_line<kHeld>(
            columns / V,
            [&](int at, int k) {
                held_a[k] = load<T, V>(a + at * V);
                held_g[k] = load<T, V>(g + at * V);
                add(held_a[k], held_g[k], at);
            },
            [&](int at) { add(load<T, V>(a + at * V), load<T, V>(g + at * V), at); });
        const float r = rstd[row], back = -r * r * line_sum(dot) / static_cast<float>(columns);
        const auto write = [&](const Vec<T, V>& u, const Vec<T, V>& v, int at) {
            float d[V], e[V] = {};
            load_floats(weight + at * V, d);
            if (residual) load_floats(residual + row * residual_stride + at * V, e);
#pragma unroll
            for (int i = 0; i < V; i++) d[i] = r * (to_float(u.at[i]) * back + d[i] * to_float(v.at[i])) + e[i];
            store_floats(dx + row * dx_stride + at * V, d);
        };
        groups_of_line<kHeld>(
            columns / V, [&](int at, int k) { write(held_a[k], held_g[k], at); }, [&](int at) { write(load<T, V>(a + at * V), load<T, V>(g + at * V), at); });
    });
}

// The weight is float32 or of x's type.
template <class T, class F>
void by_weight(const View& weight, F&& f) {
    if (weight.dtype == SO8T_FLOAT32) {
        f(float{});
    } else {
        f(T{});
    }
}

}  // namespace

void rmsnorm_forward(Context& c, const so8t_rmsnorm_forward_params& p) {
    const RMSNormForwardViews v = check(c, p);
    if (p.rows == 0) return;
    by_compute(v.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_weight<T>(v.weight, [&](auto weight_tag) {
            using W = decltype(weight_tag);
            by_width<T>(
                p.columns,
                [&](auto width) {
                    constexpr int V = decltype(width)::value;
                    const Layout l = lines_of(c, p.rows, p.columns / V, kHeld, kThreads);
                    LAUNCH_NEXT((forward_kernel<T, W, V>), l.grid, l.block, 0, c, p.rows, static_cast<int>(p.columns), v.x.as<T>(), v.x.stride,
                                v.weight.as<W>(), v.y.as<T>(), v.y.stride, v.rstd.as<float>(), static_cast<float>(p.epsilon));
                },
                v.x, v.weight, v.y);
        });
    });
    launched("rmsnorm_forward");
}

void rmsnorm_backward(Context& c, const so8t_rmsnorm_backward_params& p) {
    const RMSNormBackwardViews v = check(c, p);
    if (p.rows == 0) return;
    by_compute(v.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_weight<T>(v.weight, [&](auto weight_tag) {
            using W = decltype(weight_tag);
            by_width<T>(
                p.columns,
                [&](auto width) {
                    constexpr int V = decltype(width)::value;
                    const Layout l = lines_of(c, p.rows, p.columns / V, kHeld, kThreads);
                    LAUNCH((backward_kernel<T, W, V>), l.grid, l.block, 0, c.stream, p.rows, static_cast<int>(p.columns), v.x.as<T>(), v.x.stride,
                           v.weight.as<W>(), v.rstd.as<float>(), v.dy.as<T>(), v.dy.stride, v.residual.as<T>(), v.residual.stride, v.dx.as<T>(), v.dx.stride);
                },
                v.x, v.weight, v.dy, v.dx, v.residual ? v.residual : v.dx);
        });
    });
    launched("rmsnorm_backward");
}

}  // namespace so8t::cuda
