// How rows are distributed over threads. Two ways: a sweep, for kernels that read each element once, and lines, for those
// that need a sum over the row first and hold the row in registers meanwhile.
#pragma once

#include <algorithm>

#include "operations.h"

namespace so8t::cuda {

struct Layout {
    dim3 grid, block;
};

// For vectors, which have no stride.
template <class... Pointers>
bool aligned16(const Pointers*... p) {
    return ((reinterpret_cast<uintptr_t>(p) % 16 == 0) && ...);
}
// The largest V for which V elements of every type take at most 16 bytes.
template <class... T>
constexpr int width_of() {
    return static_cast<int>(16 / std::max({sizeof(T)...}));
}
// f(integral_constant<int, V>): like by_width, for types of several sizes.
template <class... T, class F>
void by_widest(bool fits, F&& f) {
    if (fits) {
        f(std::integral_constant<int, width_of<T...>()>{});
    } else {
        f(std::integral_constant<int, 1>{});
    }
}

// ---- sweep: a block's threads span one long row, or several short ones ----

constexpr int kSweepThreads = 256;

// For rows of groups of columns, one group a thread.
inline Layout sweep_of(const Context& c, int64_t rows, int64_t groups) {
    int x = kSweepThreads;
    while (x > 8 && round_up(groups, x) > groups + groups / 8) x /= 2;
    const int y = kSweepThreads / x;
    // Four waves of full occupancy balance the blocks; more blocks only cost launches.
    const int64_t most = static_cast<int64_t>(c.processors) * 8 * 4;
    const int64_t across = std::min(ceil_div(groups, x), std::min<int64_t>(most, 65535));
    const int64_t down = std::min(ceil_div(rows, y), std::max<int64_t>(most / across, 1));
    return {dim3(static_cast<unsigned>(down), static_cast<unsigned>(across)), dim3(static_cast<unsigned>(x), static_cast<unsigned>(y))};
}

// f(row, group) for each of this thread's groups.
template <class F>
__device__ inline void sweep(int64_t rows, int64_t groups, F&& f) {
    const int64_t down = static_cast<int64_t>(gridDim.x) * blockDim.y, across = static_cast<int64_t>(gridDim.y) * blockDim.x;
    for (int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; row < rows; row += down) {
#pragma unroll 1
        for (int64_t group = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x; group < groups; group += across) f(row, group);
    }
}

// ---- lines: a block takes one row, or each of its warps one; a thread holds up to K groups of the row ----

// Up to `threads` threads take a row; groups that do not fit into their registers are read again.
inline Layout lines_of(const Context& c, int64_t rows, int64_t groups, int K, int threads) {
    if (groups > INT32_MAX / 8) fail("a row of %lld columns is too long", static_cast<long long>(groups));  // 32-bit columns save registers
    int x = 32;
    while (x < threads && static_cast<int64_t>(x) * K < groups) x *= 2;
    const int y = x == 32 ? 8 : 1;
    const int64_t most = static_cast<int64_t>(c.processors) * 64;
    return {dim3(static_cast<unsigned>(std::min(ceil_div(rows, y), most))), dim3(static_cast<unsigned>(x), static_cast<unsigned>(y))};
}

// f(row), called by all threads of a line with the same row.
template <class F>
__device__ inline void lines(int64_t rows, F&& f) {
    for (int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y; row < rows; row += static_cast<int64_t>(gridDim.x) * blockDim.y) f(row);
}

template <class T>
__device__ inline T line_sum(T x) {
    return blockDim.x == 32 ? warp_sum(x) : block_sum(x);
}
__device__ inline float line_max(float x) { return blockDim.x == 32 ? warp_max(x) : block_max(x); }

// f(group, k) for this thread's groups in registers, then g(group) for the others.
template <int K, class F, class G>
__device__ inline void groups_of_line(int groups, F&& f, G&& g) {
    const int step = static_cast<int>(blockDim.x);
    int at = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int k = 0; k < K; k++, at += step) {
        if (at < groups) f(at, k);
    }
#pragma unroll 1
    for (; at < groups; at += step) g(at);
}

}  // namespace so8t::cuda
