// lse and delta = sum(dout * out) of each query, side by side, for the kernels of attention_backward.cu.
#pragma once

#include "attention.h"

namespace so8t::cuda {

// A query's log-sum-exp, to base 2, and delta; 0 for rows beyond the last.
struct Statistics {
    float lse, delta;
};

constexpr int kDeltaThreads = 256;

// Four lanes take a head's row, V elements at a time.
template <class T, int V>
__global__ void __launch_bounds__(kDeltaThreads)
    find_statistics(Matrix<const T> out, Matrix<const T> dout, Matrix<const float> lse, int rows, int padded, int heads, int head_dim, Statistics* statistics) {
    const int64_t i = (static_cast<int64_t>(blockIdx.x) * kDeltaThreads + threadIdx.x) / 4;
    const int lane = threadIdx.x % 4, row = static_cast<int>(i / heads), head = static_cast<int>(i % heads);
    float s = 0;
    if (row < rows) {
        const T *x = out.data + row * out.stride + static_cast<int64_t>(head) * head_dim,
                *y = dout.data + row * dout.stride + static_cast<int64_t>(head) * head_dim;
        for (int d = lane * V; d < head_dim; d += 4 * V) {
            float a[V], b[V];
            load_floats(x + d, a);
            load_floats(y + d, b);
#pragma unroll
            for (int j = 0; j < V; j++) s += a[j] * b[j];
        }
    }
    s += __shfl_xor_sync(kAllLanes, s, 1);
    s += __shfl_xor_sync(kAllLanes, s, 2);
    if (lane == 0 && row < padded) statistics[static_cast<int64_t>(head) * padded + row] = {row < rows ? lse.data[head * lse.stride + row] * kLog2E : 0.0f, s};
}

}  // namespace so8t::cuda
