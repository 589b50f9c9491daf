// (x_j, x_{j+d/2}) rotated by the angle index * frequency_j, from tables. Su et al., arXiv 2104.09864; paired by halves, as Hugging Face does.
// Reference: TestOperations/rope in native/layers_test.go.
#include "checks/layers.h"
#include "layout.h"
#include "ptx.h"

namespace so8t::cuda {

namespace {

template <class T, int V>
__global__ void __launch_bounds__(kSweepThreads)
    turn_kernel(int64_t rows, int heads, int head_dim, int half, int64_t table_rows, T* x, int64_t x_stride, const float* cos, int64_t cos_stride,
                const float* sin, int64_t sin_stride, const int32_t* index, float direction) {
    wait_for_previous();
    const int per_head = half / V;
    sweep(rows, static_cast<int64_t>(heads) * per_head, [&](int64_t row, int64_t group) {
        const int64_t at = index[row];
        if (at < 0 || at >= table_rows) return;
        const int head = static_cast<int>(group) / per_head, j = (static_cast<int>(group) - head * per_head) * V;
        T *a = x + row * x_stride + static_cast<int64_t>(head) * head_dim + j, *b = a + half;
        float u[V], v[V], co[V], si[V];
        load_floats(a, u);
        load_floats(b, v);
        load_floats(cos + at * cos_stride + j, co);
        load_floats(sin + at * sin_stride + j, si);
#pragma unroll
        for (int i = 0; i < V; i++) {
            const float s = si[i] * direction, first = u[i] * co[i] - v[i] * s;
            v[i] = v[i] * co[i] + u[i] * s;
            u[i] = first;
        }
        store_floats(a, u);
        store_floats(b, v);
    });
}

void turn(Context& c, const so8t_rope_params& p, float direction) {
    const RopeViews v = check(c, p);
    const int64_t half = p.rotary_dim / 2, width = p.heads * p.head_dim;
    if (p.rows == 0 || width == 0 || half == 0) return;
    if (width > INT32_MAX) fail("heads is %lld of head_dim %lld", static_cast<long long>(p.heads), static_cast<long long>(p.head_dim));
    by_compute(v.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_widest<T>(half % width_of<T>() == 0 && p.head_dim % width_of<T>() == 0 && wide(v.x, v.cos, v.sin), [&](auto columns) {
            constexpr int V = decltype(columns)::value;
            const Layout l = sweep_of(c, p.rows, p.heads * (half / V));
            LAUNCH_NEXT((turn_kernel<T, V>), l.grid, l.block, 0, c, p.rows, static_cast<int>(p.heads), static_cast<int>(p.head_dim), static_cast<int>(half),
                        p.table_rows, v.x.as<T>(), v.x.stride, v.cos.as<float>(), v.cos.stride, v.sin.as<float>(), v.sin.stride, v.index.as<int32_t>(),
                        direction);
        });
    });
    launched("rope");
}

}  // namespace

void rope_forward(Context& c, const so8t_rope_params& p) { turn(c, p, 1.0f); }
void rope_backward(Context& c, const so8t_rope_params& p) { turn(c, p, -1.0f); }

}  // namespace so8t::cuda
