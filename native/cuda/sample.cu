// A draw from softmax(x / temperature) cut to its nucleus. Holtzman et al., arXiv 1904.09751.
// Instead of sorting: the nucleus' least value is the largest v for which the weights of all x >= v reach top_p of the total,
// found bit by bit over keys that are ordered as the floats are. Weights are float32, their sums float64.
// Reference: TestOperations/sample in native/data_test.go.
#include <algorithm>
#include <cmath>

#include "checks/logits.h"
#include "operations.h"
#include "ptx.h"

namespace so8t::cuda {

namespace {

constexpr int kThreads = 1024;

__device__ inline uint32_t key_of(float x) {
    const uint32_t u = __float_as_uint(x + 0.0f);  // -0 is 0
    return u >> 31 ? ~u : u | 0x80000000u;
}

// scale: 1 / (temperature ln 2)
__global__ void __launch_bounds__(kThreads)
    sample_kernel(int columns, const float* all, int64_t stride, const float* u, int32_t* index, float scale, double top_p) {
    __shared__ double reached[kThreads], groups[32];
    const float* x = all + blockIdx.x * stride;
    const int thread = static_cast<int>(threadIdx.x);
    float most = -INFINITY;
    for (int j = thread; j < columns; j += kThreads) most = fmaxf(most, x[j]);
    most = block_max(most);
    const auto weight = [&](float v) { return exp2_fast((v - most) * scale); };

    uint32_t least = 0;
    if (top_p < 1) {
        double target = 0;
        // The first round sums all weights, each later one tries a bit.
        for (int bit = 32; bit >= 0; bit--) {
            const uint32_t tried = bit == 32 ? 0 : least | 1u << bit;
            double sum = 0;
#pragma unroll 4
            for (int j = thread; j < columns; j += kThreads) {
                const float v = x[j];
                if (key_of(v) >= tried) sum += weight(v);
            }
            sum = block_sum(sum);
            if (bit == 32) {
                target = top_p * sum;
            } else if (sum >= target) {
                least = tried;
            }
        }
    }

    // A stretch of columns a thread: reached[t] is the sum of the kept weights up to its end. Summed one after another, so that
    // it never falls and exactly one thread holds the drawn place.
    const int stretch = static_cast<int>(ceil_div(columns, kThreads)), begin = thread * stretch;
    double own = 0;
    for (int j = begin; j < columns && j < begin + stretch; j++) {
        if (key_of(x[j]) >= least) own += weight(x[j]);
    }
    reached[thread] = own;
    if (thread == 0) index[blockIdx.x] = 0;  // stays where NaN leaves nothing to draw
    __syncthreads();
    if (thread < 32) {
        double* part = reached + 32 * thread;
        for (int i = 1; i < 32; i++) part[i] += part[i - 1];
        groups[thread] = part[31];
        __syncwarp();
        double before = 0;
        for (int i = 0; i < thread; i++) before += groups[i];
        for (int i = 0; i < 32; i++) part[i] += before;
    }
    __syncthreads();
    const double limit = static_cast<double>(u[blockIdx.x]) * reached[kThreads - 1];
    double sum = thread > 0 ? reached[thread - 1] : 0;
    if (!(sum <= limit && limit < reached[thread])) return;
    int last = begin;  // the last kept one, if rounding leaves the sum below the limit
    for (int j = begin; j < columns && j < begin + stretch; j++) {
        if (key_of(x[j]) < least) continue;
        last = j;
        sum += weight(x[j]);
        if (sum > limit) break;
    }
    index[blockIdx.x] = last;
}

}  // namespace

void sample(Context& c, const so8t_sample_params& p) {
    const SampleViews v = check(c, p);
    if (p.rows == 0) return;
    if (p.rows > INT32_MAX) fail("rows is %lld", static_cast<long long>(p.rows));
    const double temperature = std::max(p.temperature, 1e-30);  // smaller ones overflow float32, and choose the same
    LAUNCH(sample_kernel, dim3(static_cast<unsigned>(p.rows)), dim3(kThreads), 0, c.stream, static_cast<int>(p.columns), v.x.as<float>(), v.x.stride,
           v.u.as<float>(), v.index.as<int32_t>(), static_cast<float>(1.4426950408889634 / temperature), p.top_p);
    launched("sample");
    integers_changed(c);
}

}  // namespace so8t::cuda
