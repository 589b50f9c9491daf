// index[i] = the first column of the largest value of row i; NaN ranks below every number.
// Reference: TestOperations/argmax in native/data_test.go.
#include "checks/logits.h"
#include "layout.h"

namespace so8t::cuda {

namespace {

constexpr int kThreads = 1024;
constexpr int kHeld = 4;  // vectors loaded at once
typedef unsigned long long Candidate;

// Ordered by value, then by falling column. NaN ranks below every number, and 0 below NaN.
__device__ inline Candidate candidate(float x, int64_t column) {
    const uint32_t u = __float_as_uint(x + 0.0f);  // -0 is 0
    const uint32_t key = x != x ? 0 : u >> 31 ? ~u : u | 0x80000000u;
    return static_cast<Candidate>(key) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(column));
}
__device__ inline Candidate larger(Candidate a, Candidate b) { return a > b ? a : b; }

__device__ inline Candidate line_largest(Candidate x) {
#pragma unroll
    for (int i = 16; i > 0; i >>= 1) x = larger(x, __shfl_xor_sync(kAllLanes, x, i));
    if (blockDim.x == 32) return x;
    __shared__ Candidate part[32];
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    x = part[0];
    for (int i = 1; i < static_cast<int>(blockDim.x / 32); i++) x = larger(x, part[i]);
    __syncthreads();
    return x;
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads) argmax_kernel(int64_t rows, int columns, const T* x, int64_t stride, int32_t* index) {
    lines(rows, [&](int64_t row) {
        const T* from = x + row * stride;
        Vec<T, V> held[kHeld];
        Candidate best = 0;
        const auto look = [&](const Vec<T, V>& v, int at) {
#pragma unroll
            for (int i = 0; i < V; i++) best = larger(best, candidate(to_float(v.at[i]), at * V + i));
        };
        const auto hold = [&](int at, int k) { held[k] = load<T, V>(from + at * V); };
        groups_of_line<kHeld>(columns / V, hold, [](int) {});
        const auto look_held = [&](int at, int k) { look(held[k], at); };
        groups_of_line<kHeld>(columns / V, look_held, [&](int at) { look(load<T, V>(from + at * V), at); });
        best = line_largest(best);
        if (threadIdx.x == 0) index[row] = static_cast<int32_t>(0xFFFFFFFFu - static_cast<uint32_t>(best));
    });
}

}  // namespace

void argmax(Context& c, const so8t_argmax_params& p) {
    const ArgmaxViews v = check(c, p);
    if (p.rows == 0) return;
    by_compute(v.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_width<T>(
            p.columns,
            [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = lines_of(c, p.rows, p.columns / V, kHeld, kThreads);
                LAUNCH((argmax_kernel<T, V>), l.grid, l.block, 0, c.stream, p.rows, static_cast<int>(p.columns), v.x.as<T>(), v.x.stride,
                       v.index.as<int32_t>());
            },
            v.x);
    });
    launched("argmax");
    integers_changed(c);
}

}  // namespace so8t::cuda
