// int8 rows are expanded to the compute type in scratch just before their product, w = q * absmax / 127: with thousands of
// tokens that takes a few per cent of its time, and the product is a plain 16-bit one. Dettmers et al., arXiv 2208.07339.
// Reference: TestOperations/linear_forward in native/linear_test.go.
#include "weight.h"

namespace so8t::cuda {

namespace {

constexpr int kAcross = 64, kDown = 4;  // threads of a block along a row's vectors and down the rows

template <class T>
__device__ inline float scaled(T x, float) {
    return to_float(x);
}
__device__ inline float scaled(int8_t q, float scale) { return to_float(q) * scale; }

// y = w by rows, 16 bytes of y a thread, so that a warp writes whole sectors; int8 by the row's scale.
template <class W, class T, int V>
__global__ void __launch_bounds__(kAcross* kDown)
    expand(const W* w, int64_t w_stride, const float* absmax, int64_t rows, int64_t columns, T* y, int64_t y_stride) {
    const int64_t j = (static_cast<int64_t>(blockIdx.x) * kAcross + threadIdx.x) * V;
    if (j >= columns) return;
    for (int64_t i = static_cast<int64_t>(blockIdx.y) * kDown + threadIdx.y; i < rows; i += static_cast<int64_t>(gridDim.y) * kDown) {
        const float scale = absmax ? absmax[i] / 127.0f : 1.0f;
        const Vec<W, V> from = load<W, V>(w + i * w_stride + j);
        Vec<T, V> v;
#pragma unroll
        for (int k = 0; k < V; k++) from_float(scaled(from.at[k], scale), v.at[k]);
        store<T, V>(y + i * y_stride + j, v);
    }
}

template <class W, class T>
void expand_to(Context& c, const View& w, const float* absmax, int64_t rows, int64_t columns, T* y, int64_t y_stride) {
    if (rows == 0 || columns == 0) return;
    const View to{reinterpret_cast<char*>(y), y_stride, dtype_of<T>()};
    const int64_t down = ceil_div(rows, kDown);
    by_width<T>(
        columns,
        [&](auto v) {
            constexpr int width = decltype(v)::value;
            const dim3 grid(static_cast<unsigned>(ceil_div(columns, kAcross * width)), static_cast<unsigned>(down < 65535 ? down : 65535));
            LAUNCH((expand<W, T, width>), grid, dim3(kAcross, kDown), 0, c.stream, w.as<W>(), w.stride, absmax, rows, columns, y, y_stride);
        },
        w, to);
    launched("expand");
}

template <class T>
void expand_weight(Context& c, const Weight& weight, T* y, int64_t y_stride) {
    if (weight.w.dtype == SO8T_INT8) {
        expand_to<int8_t, T>(c, weight.w, weight.absmax, weight.out, weight.in, y, y_stride);
    } else if (weight.w.dtype == SO8T_BFLOAT16) {
        expand_to<bf16, T>(c, weight.w, nullptr, weight.out, weight.in, y, y_stride);
    } else {
        expand_to<float, T>(c, weight.w, nullptr, weight.out, weight.in, y, y_stride);
    }
}

template <class T>
struct Diagonal {
    int64_t begin[SO8T_MAX_SLICES], rows[SO8T_MAX_SLICES], stride[SO8T_MAX_SLICES];
    const T* b[SO8T_MAX_SLICES];
};

constexpr int kThreads = 256;

// y[o][i * rank + j] = b_i[o - begin_i][j] on the rows of slice i, else 0
template <class T>
__global__ void __launch_bounds__(kThreads) place(Diagonal<T> d, int64_t out, int rank, int columns, T* y, int64_t y_stride) {
    for (int64_t o = blockIdx.x; o < out; o += gridDim.x) {
        for (int j = static_cast<int>(threadIdx.x); j < columns; j += kThreads) {
            T v{};
#pragma unroll
            for (int i = 0; i < SO8T_MAX_SLICES; i++) {
                const int64_t row = o - d.begin[i];
                const int column = j - i * rank;
                if (column >= 0 && column < rank && row >= 0 && row < d.rows[i]) v = d.b[i][row * d.stride[i] + column];
            }
            y[o * y_stride + j] = v;
        }
    }
}

bool holds(const Weight& w, int32_t dtype) { return w.w.dtype == dtype; }

}  // namespace

View in_compute(Context& c, Scratch& s, const View& x, int64_t rows, int64_t columns, int32_t compute) {
    if (x.dtype == compute) return x;
    const int64_t ld = round_up(columns, 8);
    bf16* y = s.take<bf16>(rows * ld);
    expand_to<float, bf16>(c, x, nullptr, rows, columns, y, ld);
    return {reinterpret_cast<char*>(y), ld, compute};
}

Slices slices_of(Context& c, Scratch& s, const Slice* slice, int64_t count, int64_t rank, int32_t compute) {
    Slices r;
    r.count = static_cast<int>(count);
    r.rank = rank;
    int64_t rows = 0;
    for (int i = 0; i < r.count; i++) {
        r.begin[i] = slice[i].begin;
        r.rows[i] = slice[i].rows;
        r.b[i] = slice[i].b;
        if (r.b[i].dtype != compute) rows += r.rows[i];
    }
    if (rows == 0) return r;
    // Copies lie one behind the other, as the slices of one adapter do in the compute type: products then batch both alike.
    const int64_t ld = round_up(rank, 8);
    bf16* y = s.take<bf16>(rows * ld);
    for (int i = 0; i < r.count; i++) {
        if (r.b[i].dtype == compute) continue;
        expand_to<float, bf16>(c, r.b[i], nullptr, r.rows[i], rank, y, ld);
        r.b[i] = {reinterpret_cast<char*>(y), ld, compute};
        y += r.rows[i] * ld;
    }
    return r;
}

template <class T>
Operand beside(Context& c, Scratch& s, const Weight& weight, const Slices& slices) {
    // [[W, B], [A, 0]] begins with [W | B] and with [W ; A].
    if (weight.expanded) return {weight.expanded.data, weight.expanded.stride};
    if (slices.count == 0 && holds(weight, dtype_of<T>())) return {weight.w.data, weight.w.stride};
    // Rows of a multiple of 16 bytes, for vectors and for cuBLASLt.
    const int64_t ld = round_up(weight.in + slices.columns(), 16 / sizeof(T));
    T* y = s.take<T>(weight.out * ld);
    expand_weight(c, weight, y, ld);
    if (slices.count > 0) {
        Diagonal<T> d;
        for (int i = 0; i < SO8T_MAX_SLICES; i++) {
            const bool there = i < slices.count;
            d.begin[i] = there ? slices.begin[i] : 0;
            d.rows[i] = there ? slices.rows[i] : 0;
            d.stride[i] = there ? slices.b[i].stride : 0;
            d.b[i] = there ? slices.b[i].template as<T>() : nullptr;
        }
        LAUNCH((place<T>), dim3(static_cast<unsigned>(weight.out < 65535 ? weight.out : 65535)), dim3(kThreads), 0, c.stream, d, weight.out,
               static_cast<int>(slices.rank), static_cast<int>(slices.columns()), y + weight.in, ld);
        launched("place");
    }
    return {y, ld};
}
template Operand beside<float>(Context&, Scratch&, const Weight&, const Slices&);
template Operand beside<bf16>(Context&, Scratch&, const Weight&, const Slices&);

template <class T>
Operand below(Context& c, Scratch& s, const Weight& weight, const View& a, int64_t columns) {
    if (weight.expanded) return {weight.expanded.data, weight.expanded.stride};
    if (columns == 0 && holds(weight, dtype_of<T>())) return {weight.w.data, weight.w.stride};
    const int64_t ld = round_up(weight.in, 16 / sizeof(T));
    T* y = s.take<T>((weight.out + columns) * ld);
    expand_weight(c, weight, y, ld);
    if (columns > 0) expand_to<T, T>(c, a, nullptr, columns, weight.in, y + weight.out * ld, ld);
    return {y, ld};
}
template Operand below<float>(Context&, Scratch&, const Weight&, const View&, int64_t);
template Operand below<bf16>(Context&, Scratch&, const Weight&, const View&, int64_t);

template <class T>
Operand joined(Context& c, Scratch& s, int64_t rows, const View& x, int64_t n, const View& z, int64_t m) {
    if (m == 0 || (z.data == x.data + n * static_cast<int64_t>(sizeof(T)) && z.stride == x.stride)) return {x.data, x.stride};
    const int64_t ld = round_up(n + m, 16 / sizeof(T));
    T* y = s.take<T>(rows * ld);
    expand_to<T, T>(c, x, nullptr, rows, n, y, ld);
    expand_to<T, T>(c, z, nullptr, rows, m, y + n, ld);
    return {y, ld};
}
template Operand joined<float>(Context&, Scratch&, int64_t, const View&, int64_t, const View&, int64_t);
template Operand joined<bf16>(Context&, Scratch&, int64_t, const View&, int64_t, const View&, int64_t);

}  // namespace so8t::cuda
