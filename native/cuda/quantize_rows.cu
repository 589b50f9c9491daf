// LLM.int8's weight format: q = round_half_even(x * (127 / absmax)) by rows, w = q * absmax / 127.
// Dettmers et al., arXiv 2208.07339; rounding as bitsandbytes' int8_vectorwise_quant.
// Reference: TestOperations/quantize_rows in native/data_test.go.
#include "checks/rows.h"
#include "layout.h"

namespace so8t::cuda {

namespace {

constexpr int kThreads = 512;
constexpr int kHeld = 4;  // groups of a row in a thread's registers

template <int V, class T>
__device__ inline void quantize(const Vec<T, V>& x, float factor, int8_t* q) {
    Vec<int8_t, V> out;
#pragma unroll
    for (int i = 0; i < V; i++) {
        const int n = __float2int_rn(__fmul_rn(to_float(x.at[i]), factor));
        out.at[i] = static_cast<int8_t>(n < -128 ? -128 : n > 127 ? 127 : n);
    }
    store<int8_t, V>(q, out);
}
template <int V, class T>
__device__ inline float largest(const Vec<T, V>& x, float most) {
#pragma unroll
    for (int i = 0; i < V; i++) most = fmaxf(most, fabsf(to_float(x.at[i])));
    return most;
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads)
    quantize_kernel(int64_t rows, int columns, const T* x, int64_t x_stride, int8_t* q, int64_t q_stride, float* absmax) {
    lines(rows, [&](int64_t row) {
        const T* from = x + row * x_stride;
        int8_t* to = q + row * q_stride;
        Vec<T, V> held[kHeld];
        float most = 0;
        groups_of_line<kHeld>(
            columns / V,
            [&](int at, int k) {
                held[k] = load<T, V>(from + at * V);
                most = largest<V>(held[k], most);
            },
            [&](int at) { most = largest<V>(load<T, V>(from + at * V), most); });
        most = line_max(most);
        if (threadIdx.x == 0) absmax[row] = most;
        // torch computes 127 / absmax as 127 * (1 / absmax): these three roundings decide bitsandbytes' ties.
        const float factor = most > 0 ? __fmul_rn(__fdiv_rn(1.0f, most), 127.0f) : 0.0f;
        groups_of_line<kHeld>(
            columns / V, [&](int at, int k) { quantize<V>(held[k], factor, to + at * V); },
            [&](int at) { quantize<V>(load<T, V>(from + at * V), factor, to + at * V); });
    });
}

template <class T, int V>
__global__ void __launch_bounds__(kSweepThreads)
    dequantize_kernel(int64_t rows, int64_t columns, const int8_t* q, int64_t q_stride, const float* absmax, T* y, int64_t y_stride) {
    sweep(rows, columns / V, [&](int64_t row, int64_t group) {
        float v[V];
        load_floats(q + row * q_stride + group * V, v);
        const float scale = __fdiv_rn(absmax[row], 127.0f);
#pragma unroll
        for (int i = 0; i < V; i++) v[i] = __fmul_rn(v[i], scale);
        store_floats(y + row * y_stride + group * V, v);
    });
}

}  // namespace

void quantize_rows(Context& c, const so8t_quantize_rows_params& p) {
    const QuantizeRowsViews v = check(c, p);
    if (p.rows == 0) return;
    by_float(v.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_width<T>(
            p.columns,
            [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = lines_of(c, p.rows, p.columns / V, kHeld, kThreads);
                LAUNCH((quantize_kernel<T, V>), l.grid, l.block, 0, c.stream, p.rows, static_cast<int>(p.columns), v.x.as<T>(), v.x.stride, v.q.as<int8_t>(),
                       v.q.stride, v.absmax.as<float>());
            },
            v.x, v.q);
    });
    launched("quantize_rows");
}

void dequantize_rows(Context& c, const so8t_dequantize_rows_params& p) {
    const DequantizeRowsViews v = check(c, p);
    if (p.rows == 0 || p.columns == 0) return;
    by_compute(v.y.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_width<T>(
            p.columns,
            [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = sweep_of(c, p.rows, p.columns / V);
                LAUNCH((dequantize_kernel<T, V>), l.grid, l.block, 0, c.stream, p.rows, p.columns, v.q.as<int8_t>(), v.q.stride, v.absmax.as<float>(),
                       v.y.as<T>(), v.y.stride);
            },
            v.q, v.y);
    });
    launched("dequantize_rows");
}

}  // namespace so8t::cuda
