// y = residual + scale * x W^T + [z_i B_i^T] for at most eight rows of x.
// Reference: TestOperations/linear_forward in native/linear_test.go.
#include "few_rows.h"

namespace so8t::cuda {

namespace {

constexpr int kWarps = 4;
constexpr int kOutputs = 2;  // weight rows of a warp at once, which share each load of x

template <class T, class Y>
struct Few {
    const T *x, *residual, *z;
    Y* y;
    int64_t x_stride, y_stride, residual_stride, z_stride, in, out;
    float scale;
    int count;  // rows of x
    int slices, rank;
    int64_t begin[SO8T_MAX_SLICES], rows[SO8T_MAX_SLICES], b_stride[SO8T_MAX_SLICES];
    const T* b[SO8T_MAX_SLICES];
};

// One warp: kOutputs weight rows by M rows of x. V weights are read at once by each lane.
template <class W, class T, class Y, int M, int V>
__global__ void __launch_bounds__(32 * kWarps) dot(Few<T, Y> l, const W* w, int64_t w_stride, const float* absmax) {
    const int lane = threadIdx.x % 32;
    const int64_t first = (static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32) * kOutputs;
    float sums[kOutputs][M] = {};
    for (int64_t j = lane * V; j < l.in; j += 32 * V) {
        float weights[kOutputs][V];
#pragma unroll
        for (int o = 0; o < kOutputs; o++) {
            const int64_t row = first + o < l.out ? first + o : l.out - 1;  // its result is not written
            load_floats<V>(w + row * w_stride + j, weights[o]);
        }
#pragma unroll
        for (int m = 0; m < M; m++) {
            constexpr int P = V < 8 ? V : 8;  // x in parts, to save registers
#pragma unroll
            for (int part = 0; part < V; part += P) {
                float x[P];
                load_floats<P>(l.x + (m < l.count ? m : l.count - 1) * l.x_stride + j + part, x);
#pragma unroll
                for (int o = 0; o < kOutputs; o++) {
#pragma unroll
                    for (int k = 0; k < P; k++) sums[o][m] = fmaf(weights[o][part + k], x[k], sums[o][m]);
                }
            }
        }
    }
#pragma unroll
    for (int o = 0; o < kOutputs; o++) {
        const int64_t row = first + o;
        const bool inside = row < l.out;
        const float scale = l.scale * (absmax && inside ? absmax[row] / 127.0f : 1.0f);
#pragma unroll
        for (int m = 0; m < M; m++) sums[o][m] *= scale;
        for (int i = 0; i < l.slices; i++) {
            const int64_t at = row - l.begin[i];
            if (!inside || at < 0 || at >= l.rows[i]) continue;
            for (int k = lane; k < l.rank; k += 32) {
                const float b = to_float(l.b[i][at * l.b_stride[i] + k]);
#pragma unroll
                for (int m = 0; m < M; m++) sums[o][m] = fmaf(b, to_float(l.z[(m < l.count ? m : l.count - 1) * l.z_stride + i * l.rank + k]), sums[o][m]);
            }
        }
#pragma unroll
        for (int m = 0; m < M; m++) {
            float y = warp_sum(sums[o][m]);
            if (lane == 0 && inside && m < l.count) {
                if (l.residual) y += to_float(l.residual[m * l.residual_stride + row]);
                from_float(y, l.y[m * l.y_stride + row]);
            }
        }
    }
}

template <class W, class T, class Y, int M>
void run(Context& c, const FewRows& l) {
    Few<T, Y> f{};
    f.x = l.x.as<T>();
    f.residual = l.residual.as<T>();
    f.z = l.z.as<T>();
    f.y = l.y.as<Y>();
    f.x_stride = l.x.stride;
    f.y_stride = l.y.stride;
    f.residual_stride = l.residual.stride;
    f.z_stride = l.z.stride;
    f.in = l.weight.in;
    f.out = l.weight.out;
    f.scale = l.scale;
    f.count = static_cast<int>(l.rows);
    f.slices = l.slices.count;
    f.rank = static_cast<int>(l.slices.rank);
    for (int i = 0; i < l.slices.count; i++) {
        f.begin[i] = l.slices.begin[i];
        f.rows[i] = l.slices.rows[i];
        f.b_stride[i] = l.slices.b[i].stride;
        f.b[i] = l.slices.b[i].as<T>();
    }
    const dim3 grid(static_cast<unsigned>(ceil_div(f.out, kWarps * kOutputs)));
    if constexpr (M < 8) {
        LAUNCH((dot<W, T, Y, M, 16 / sizeof(W)>), grid, dim3(32 * kWarps), 0, c.stream, f, l.weight.w.as<W>(), l.weight.w.stride, l.weight.absmax);
    } else {
        by_width<W>(
            l.weight.in,
            [&](auto v) {
                constexpr int V = decltype(v)::value;
                LAUNCH((dot<W, T, Y, M, V>), grid, dim3(32 * kWarps), 0, c.stream, f, l.weight.w.as<W>(), l.weight.w.stride, l.weight.absmax);
            },
            l.weight.w, l.x);
    }
    launched("few_rows");
}

// Picks the smallest compiled number of rows that suffices; the rows beyond l.rows repeat the last one and are not stored.
template <class W, class T, class Y>
void by_rows(Context& c, const FewRows& l) {
    const bool vectors = l.weight.in % (16 / sizeof(W)) == 0 && wide(l.weight.w, l.x);
    if (!vectors || l.rows > 4) return run<W, T, Y, 8>(c, l);
    if (l.rows > 2) return run<W, T, Y, 4>(c, l);
    if (l.rows > 1) return run<W, T, Y, 2>(c, l);
    run<W, T, Y, 1>(c, l);
}

template <class T, class Y>
void by_weight(Context& c, const FewRows& l) {
    if (l.weight.w.dtype == SO8T_INT8) {
        by_rows<int8_t, T, Y>(c, l);
    } else {
        by_rows<T, T, Y>(c, l);
    }
}

}  // namespace

void few_rows(Context& c, const FewRows& l) {
    if (l.rows > kFewRows) {
        few_rows_mma(c, l);
    } else if (l.x.dtype == SO8T_FLOAT32) {
        by_weight<float, float>(c, l);
    } else if (l.y.dtype == SO8T_FLOAT32) {
        by_weight<bf16, float>(c, l);
    } else {
        by_weight<bf16, bf16>(c, l);
    }
}

}  // namespace so8t::cuda
