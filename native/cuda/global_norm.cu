// norm = sqrt(sum of squares): partial sums of fixed stretches, added in a fixed order in float64.
// Reference: TestOperations/global_norm in native/training_test.go.
#include "checks/optimizer.h"
#include "layout.h"

namespace so8t::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kGroups = 16;  // of four numbers, a thread's part of a stretch: float32 within it, float64 across
constexpr int64_t kStretch = int64_t(4) * kGroups * kThreads;

template <int V>
__global__ void __launch_bounds__(kThreads) squares_kernel(int64_t n, int64_t stretches, const float* x, double* partial) {
    for (int64_t stretch = blockIdx.x; stretch < stretches; stretch += gridDim.x) {
        float s = 0;
#pragma unroll 4
        for (int k = 0; k < kGroups; k++) {
            // Either width adds the same numbers, so that alignment does not change the sum.
            const int64_t at = stretch * kStretch + (static_cast<int64_t>(k) * kThreads + threadIdx.x) * 4;
            if (V == 4 && at + 4 <= n) {
                const Vec<float, 4> v = load<float, 4>(x + at);
#pragma unroll
                for (int i = 0; i < 4; i++) s = fmaf(v.at[i], v.at[i], s);
            } else {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    if (at + i < n) s = fmaf(x[at + i], x[at + i], s);
                }
            }
        }
        const double total = block_sum(static_cast<double>(s));
        if (threadIdx.x == 0) partial[stretch] = total;
    }
}

__global__ void __launch_bounds__(kThreads) norm_kernel(int64_t stretches, const double* partial, float* norm) {
    double s = 0;
    for (int64_t i = threadIdx.x; i < stretches; i += kThreads) s += partial[i];
    s = block_sum(s);
    if (threadIdx.x == 0) norm[0] = static_cast<float>(sqrt(s));
}

}  // namespace

void global_norm(Context& c, const so8t_global_norm_params& p) {
    const GlobalNormViews v = check(c, p);
    const int64_t stretches = ceil_div(p.n, kStretch);
    Scratch scratch(c);
    double* partial = scratch.take<double>(std::max<int64_t>(stretches, 1));
    if (stretches > 0) {
        const dim3 grid(static_cast<unsigned>(std::min<int64_t>(stretches, static_cast<int64_t>(c.processors) * 64)));
        if (aligned16(v.x.data)) {
            LAUNCH((squares_kernel<4>), grid, dim3(kThreads), 0, c.stream, p.n, stretches, v.x.as<float>(), partial);
        } else {
            LAUNCH((squares_kernel<1>), grid, dim3(kThreads), 0, c.stream, p.n, stretches, v.x.as<float>(), partial);
        }
        launched("global_norm");
    }
    LAUNCH(norm_kernel, dim3(1), dim3(kThreads), 0, c.stream, stretches, partial, v.norm.as<float>());
    launched("global_norm");
}

}  // namespace so8t::cuda
