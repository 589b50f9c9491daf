// dx = dy W + (dz A) * mask / (1 - p). Without dropout one product, [dy | dz] [W ; A]; with it the adapter's part comes
// first, masked in place, and the base's product adds to it: only the smaller part is rounded twice.
#include "dropout.h"
#include "products.h"
#include "weight.h"

namespace so8t::cuda {

namespace {

constexpr int kThreads = 256;

// x *= mask / (1 - p), eight columns a thread
template <class T, bool Vectors>
__global__ void __launch_bounds__(kThreads) masked(Dropout d, int64_t rows, int64_t columns, T* x, int64_t stride) {
    const int64_t j = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * 8;
    if (j >= columns) return;
    for (int64_t i = blockIdx.y; i < rows; i += gridDim.y) {
        const uint32_t bits = kept8(d, i, j);
        T* at = x + i * stride + j;
        if (Vectors) {
            Vec<T, 8> v = load<T, 8>(at);
#pragma unroll
            for (int k = 0; k < 8; k++) from_float(bits >> k & 1 ? to_float(v.at[k]) * d.inverse : 0.0f, v.at[k]);
            store<T, 8>(at, v);
        } else {
            for (int k = 0; k < 8 && j + k < columns; k++) from_float(bits >> k & 1 ? to_float(at[k]) * d.inverse : 0.0f, at[k]);
        }
    }
}

template <class T>
void mask(Context& c, const Dropout& d, int64_t rows, int64_t columns, const View& x) {
    const dim3 grid(static_cast<unsigned>(ceil_div(columns, 8 * kThreads)), static_cast<unsigned>(rows < 65535 ? rows : 65535));
    if (columns % 8 == 0 && wide(x)) {
        LAUNCH((masked<T, true>), grid, dim3(kThreads), 0, c.stream, d, rows, columns, x.as<T>(), x.stride);
    } else {
        LAUNCH((masked<T, false>), grid, dim3(kThreads), 0, c.stream, d, rows, columns, x.as<T>(), x.stride);
    }
    launched("mask");
}

}  // namespace

void linear_backward(Context& c, const so8t_linear_backward_params& p) {
    check_size("rows", p.rows);
    check_size("in", p.in, 1);
    check_size("out", p.out, 1);
    check_size("columns", p.columns);
    const View dy = c.matrix(p.dy, "dy", p.rows, p.out, kCompute);
    const Weight weight = weight_of(c, p.w, p.w_absmax, p.out, p.in);
    const View dx = c.matrix(p.dx, "dx", p.rows, p.in, kF32 | only(dy.dtype));
    View dz, a;
    Dropout dropout;
    if (p.columns > 0) {
        dz = c.matrix(p.dz, "dz", p.rows, p.columns, only(dy.dtype));
        a = c.matrix(p.a, "a", p.columns, p.in, only(dy.dtype));
        dropout = dropout_of(c, p.dropout, p.rows);
    }
    if (p.rows == 0) return;
    const bool apart = p.columns > 0 && dropout.on;
    const int64_t columns = apart ? 0 : p.columns;
    Scratch s(c);
    by_compute(dy.dtype, [&](auto tag) {
        using T = decltype(tag);
        if (apart) {
            c.products->run({p.rows, p.in, p.columns, dy.dtype, dz.data, dz.stride, false, a.data, a.stride, false, dx.data, dx.stride, dx.dtype, 1, 0});
            by_compute(dx.dtype, [&](auto to) { mask<decltype(to)>(c, dropout, p.rows, p.in, dx); });
        }
        const Matrix g = joined<T>(c, s, p.rows, dy, p.out, dz, columns), w = below<T>(c, s, weight, a, columns);
        c.products->run({p.rows, p.in, p.out + columns, dy.dtype, g.data, g.ld, false, w.data, w.ld, false, dx.data, dx.stride, dx.dtype, 1, apart ? 1.0f : 0.0f});
    });
}

}  // namespace so8t::cuda
