// y = residual + scale * x W^T + [z_i B_i^T] for at most eight rows of x.
// Reference: TestOperations/linear_forward in native/linear_test.go.
#include "few_rows.h"
#include "ptx.h"

namespace so8t::cuda {

namespace {

constexpr int kWarps = 4;
// With this many warps on each multiprocessor, their loads under way keep the memory busy.
constexpr int kEnoughWarps = 24;

template <class T, class Y>
struct Few {
    const T *x, *residual, *z;
    Y* y;
    int64_t x_stride, y_stride, residual_stride, z_stride, in, out;
    float scale;
    int count;  // rows of x
    int slices, rank;
    bool overlaps;
    int64_t begin[SO8T_MAX_SLICES], rows[SO8T_MAX_SLICES], b_stride[SO8T_MAX_SLICES];
    const T* b[SO8T_MAX_SLICES];
};

// One warp: O weight rows, which share each load of x, by M rows of x. A lane reads V weights of each row at once, and as many
// from U places at a time. A sum's order depends on V alone.
template <class W, class T, class Y, int M, int V, int O, int U>
__global__ void __launch_bounds__(32 * kWarps) dot(Few<T, Y> l, const W* w, int64_t w_stride, const float* absmax) {
    const int lane = threadIdx.x % 32;
    const int64_t first = (static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32) * O;
    for (int i = 0; i < U * O && l.overlaps; i++) {  // while the kernel before still works
        const int64_t at = (i / O * 32 + lane) * V, row = first + i % O;
        if (at < l.in && row < l.out) prefetch(w + row * w_stride + at);
    }
    wait_for_previous();
    float sums[O][M] = {};
    const auto read = [&](Packed<W, V>(&packed)[O], int64_t at) {
#pragma unroll
        for (int o = 0; o < O; o++) {
            const int64_t row = first + o < l.out ? first + o : l.out - 1;  // its result is not written
            if constexpr (sizeof(packed[o]) == 16) {
                packed[o] = load_once(w + row * w_stride + at);
            } else {
                packed[o] = load_packed<W, V>(w + row * w_stride + at);
            }
        }
    };
    const auto add = [&](const Packed<W, V>(&packed)[O], int64_t at) {
        float weights[O][V];
#pragma unroll
        for (int o = 0; o < O; o++) to_floats<W>(packed[o], weights[o]);
#pragma unroll
        for (int m = 0; m < M; m++) {
            constexpr int P = V < 8 ? V : 8;  // x in parts, to save registers
#pragma unroll
            for (int part = 0; part < V; part += P) {
                float x[P];
                to_floats<T>(load_packed<T, P>(l.x + (m < l.count ? m : l.count - 1) * l.x_stride + at + part), x);
#pragma unroll
                for (int o = 0; o < O; o++) {
#pragma unroll
                    for (int k = 0; k < P; k++) sums[o][m] = fmaf(weights[o][part + k], x[k], sums[o][m]);
                }
            }
        }
    };
    for (int64_t j = 0; j < l.in; j += 32 * V * U) {
        Packed<W, V> packed[U][O];
#pragma unroll
        for (int u = 0; u < U; u++) {
            const int64_t at = j + (u * 32 + lane) * V;
            read(packed[u], at < l.in ? at : l.in - V);
        }
        __syncwarp();  // or else the compiler puts off the loads, to save registers
#pragma unroll
        for (int u = 0; u < U; u++) {
            const int64_t at = j + (u * 32 + lane) * V;
            if (at < l.in) add(packed[u], at);
        }
    }
#pragma unroll
    for (int o = 0; o < O; o++) {
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
    f.overlaps = overlaps(c);
    f.slices = l.slices.count;
    f.rank = static_cast<int>(l.slices.rank);
    for (int i = 0; i < l.slices.count; i++) {
        f.begin[i] = l.slices.begin[i];
        f.rows[i] = l.slices.rows[i];
        f.b_stride[i] = l.slices.b[i].stride;
        f.b[i] = l.slices.b[i].as<T>();
    }
    const auto launch = [&](auto width, auto outputs, auto places) {
        constexpr int V = decltype(width)::value, O = decltype(outputs)::value, U = decltype(places)::value;
        const dim3 grid(static_cast<unsigned>(ceil_div(f.out, kWarps * O)));
        LAUNCH_NEXT((dot<W, T, Y, M, V, O, U>), grid, dim3(32 * kWarps), 0, c, f, l.weight.w.as<W>(), l.weight.w.stride, l.weight.absmax);
    };
    const bool few_outputs = f.out < 2 * kEnoughWarps * static_cast<int64_t>(c.processors);
    const auto by_outputs = [&](auto width) {
        using std::integral_constant;
        if (few_outputs) {
            launch(width, integral_constant<int, 1>{}, integral_constant<int, (M < 4 ? 4 : M < 8 ? 2 : 1)>{});
        } else {
            launch(width, integral_constant<int, 2>{}, integral_constant<int, (M < 4 ? 2 : 1)>{});
        }
    };
    if constexpr (M < 8) {
        by_outputs(std::integral_constant<int, 16 / sizeof(W)>{});
    } else {
        by_width<W>(l.weight.in, by_outputs, l.weight.w, l.x);
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
