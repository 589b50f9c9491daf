// out = softmax(scale q k^T) v for one query a row, over the keys and values in its slot of the cache.
// A slot's positions are split in parts among blocks, whose sums are combined afterwards: Dao et al., "Flash-Decoding" (2023).
// A row that has only one part needs no combining; where the cache has only one, that kernel is not launched at all.
// Reference: TestOperations/attention_cached in native/attention_test.go.
#include <cmath>

#include "attention.h"

namespace so8t::cuda {

namespace {

constexpr int kBlock = 256;      // threads
constexpr int kPositions = 256;  // of a step
constexpr int kMostParts = 32;
constexpr float kNothing = -INFINITY;

// A part's running maximum and the sum of e^(score - most).
struct Total {
    float most, sum;
};

template <class T>
struct Cached {
    Matrix<const T> q, cache_k, cache_v;
    Matrix<T> out;
    Pages pages;
    const int32_t *slot, *position;
    int heads, group, head_dim, window, slots, capacity;
    int parts, span;  // span: positions of a part, by capacity alone, so that a row's bits do not depend on the other rows
    float scale;
    float* sums;    // [rows, heads, parts, D]
    Total* totals;  // [rows, heads, parts]
};

// Positions [begin, end) that a row sees; none if the queued checks will refuse the row.
struct Range {
    int begin, end;
};
template <class T>
__device__ inline Range range_of(const Cached<T>& a, int row) {
    const int slot = a.slot[row], at = a.position[row];
    if (slot < 0 || slot >= a.slots || at < 0 || at >= a.capacity) return {0, 0};
    return {a.window > 0 && at >= a.window ? at + 1 - a.window : 0, at + 1};
}

// What a block of attend_part shares.
template <int V, int G>
struct Part {
    float weights[G][kPositions];
    int64_t rows[kPositions];  // of the cache, for the positions of a step
    Total totals[G];
    float shrink[G];  // of the sums of earlier steps
    float query[G][kMostHeadDim];
    float turned[kBlock * V];
};

// Scores of n positions for G heads; four lanes make one.
template <class T, int V, int G>
__device__ __forceinline__ void score(const Cached<T>& a, Part<V, G>& s, int64_t kv_column, int n) {
    constexpr int kAtOnce = G > 1 ? 2 : 4;  // loads under way; more heads leave fewer registers
    const int thread = threadIdx.x, lane = thread % 32;
    for (int i = 0; i < n; i += kBlock / 4) {
        const int j = i + thread / 4;
        const bool valid = j < n && s.rows[j] >= 0;
        float sums[G] = {};
        if (valid) {
            const T* k = a.cache_k.data + s.rows[j] * a.cache_k.stride + kv_column;
#pragma unroll kAtOnce
            for (int d = lane % 4 * V; d < a.head_dim; d += 4 * V) {
                float x[V];
                load_floats(k + d, x);
#pragma unroll
                for (int g = 0; g < G; g++) {
#pragma unroll
                    for (int v = 0; v < V; v++) sums[g] += s.query[g][d + v] * x[v];
                }
            }
        }
#pragma unroll
        for (int g = 0; g < G; g++) {
            sums[g] += __shfl_xor_sync(kAllLanes, sums[g], 1);
            sums[g] += __shfl_xor_sync(kAllLanes, sums[g], 2);
            if (lane % 4 == 0 && j < n) s.weights[g][j] = valid ? sums[g] : kNothing;
        }
    }
}

// Turns scores into weights relative to the head's largest score so far; a warp takes a head.
template <int V, int G>
__device__ __forceinline__ void soften(Part<V, G>& s, int n) {
    const int lane = threadIdx.x % 32;
    for (int g = threadIdx.x / 32; g < G; g += kBlock / 32) {
        const Total before = s.totals[g];
        float most = before.most, sum = 0;
        for (int j = lane; j < n; j += 32) most = fmaxf(most, s.weights[g][j]);
        most = warp_max(most);
        const float base = most == kNothing ? 0.0f : most;
        for (int j = lane; j < n; j += 32) {
            const float e = expf(s.weights[g][j] - base);
            s.weights[g][j] = e;
            sum += e;
        }
        sum = warp_sum(sum);
        if (lane == 0) {
            s.shrink[g] = expf(before.most - base);
            s.totals[g] = {most, before.sum * s.shrink[g] + sum};
        }
    }
}

// Adds the weighted values of every strands-th position, from `strand` on, at one chunk of columns.
template <class T, int V, int G>
__device__ __forceinline__ void add_values(const Cached<T>& a, const Part<V, G>& s, float (&sums)[G][V], int64_t column, int strand, int strands, int n) {
    constexpr int kAtOnce = G > 1 ? 2 : 4;
#pragma unroll
    for (int g = 0; g < G; g++) {
#pragma unroll
        for (int v = 0; v < V; v++) sums[g][v] *= s.shrink[g];
    }
#pragma unroll kAtOnce
    for (int j = strand; j < n; j += strands) {
        if (s.rows[j] < 0) continue;
        float x[V];
        load_floats(a.cache_v.data + s.rows[j] * a.cache_v.stride + column, x);
#pragma unroll
        for (int g = 0; g < G; g++) {
#pragma unroll
            for (int v = 0; v < V; v++) sums[g][v] += s.weights[g][j] * x[v];
        }
    }
}

// A block takes every gridDim.y-th part of a row's positions for up to G query heads of one key head; V elements at a time.
template <class T, int V, int G>
__global__ void __launch_bounds__(kBlock, G > 1 ? 2 : 3) attend_part(const Cached<T> a) {
    wait_for_previous();
    __shared__ Part<V, G> s;
    const int row = blockIdx.x;
    const int passes = (a.group + G - 1) / G, kv = blockIdx.z / passes, head = kv * a.group + blockIdx.z % passes * G;
    const int heads = least(G, (kv + 1) * a.group - head);
    const Range all = range_of(a, row);
    if (all.begin >= all.end) return;
    const int thread = threadIdx.x, slot = a.slot[row];
    const int64_t kv_column = static_cast<int64_t>(kv) * a.head_dim;
    for (int i = thread; i < G * a.head_dim; i += kBlock) {
        const int g = i / a.head_dim, d = i % a.head_dim;
        s.query[g][d] = g < heads ? to_float(a.q.data[row * a.q.stride + static_cast<int64_t>(head + g) * a.head_dim + d]) * a.scale : 0.0f;
    }
    // A thread adds one chunk of the values of every strands-th position; threads beyond the last whole strand add none.
    const int chunks = a.head_dim / V, strands = kBlock / chunks, column = thread % chunks * V;
    const int strand = thread / chunks < strands ? thread / chunks : kPositions;
    const int first_part = all.begin / a.span, last_part = (all.end - 1) / a.span;
    for (int part = first_part + blockIdx.y; part <= last_part; part += gridDim.y) {
        const int begin = all.begin > part * a.span ? all.begin : part * a.span, end = least(all.end, (part + 1) * a.span);
        __syncthreads();  // the last part's totals have been read
        if (thread < G) s.totals[thread] = {kNothing, 0};
        float sums[G][V] = {};
        for (int first = begin; first < end; first += kPositions) {
            const int n = least(kPositions, end - first);
            __syncthreads();  // the last step's weights have been read
            for (int j = thread; j < n; j += kBlock) s.rows[j] = a.pages.row_or_none(slot, first + j);
            __syncthreads();
            score(a, s, kv_column, n);
            __syncthreads();
            soften(s, n);
            __syncthreads();
            add_values(a, s, sums, kv_column + column, strand, strands, n);
        }
#pragma unroll
        for (int g = 0; g < G; g++) {
            if (g >= heads) break;
            __syncthreads();
#pragma unroll
            for (int v = 0; v < V; v++) s.turned[thread * V + v] = sums[g][v];  // strand after strand, each a whole row
            __syncthreads();
            const int64_t place = (static_cast<int64_t>(row) * a.heads + head + g) * a.parts + part;
            if (thread < a.head_dim) {
                float sum = 0;
                for (int i = 0; i < strands; i++) sum += s.turned[i * a.head_dim + thread];
                if (first_part < last_part) {
                    a.sums[place * a.head_dim + thread] = sum;
                } else {
                    const float total = s.totals[g].sum, inverse = total > 0 ? 1.0f / total : 0.0f;
                    from_float(sum * inverse, a.out.data[row * a.out.stride + static_cast<int64_t>(head + g) * a.head_dim + thread]);
                }
            }
            if (thread == 0 && first_part < last_part) a.totals[place] = s.totals[g];
        }
    }
}

// A block combines the parts of a row's head.
template <class T>
__global__ void __launch_bounds__(kBlock) join_parts(const Cached<T> a) {
    wait_for_previous();
    const int row = blockIdx.x, head = blockIdx.y;
    const Range all = range_of(a, row);
    if (all.begin >= all.end) return;
    const int64_t place = (static_cast<int64_t>(row) * a.heads + head) * a.parts;
    const int first = all.begin / a.span, last = (all.end - 1) / a.span;
    if (first == last) return;  // written by attend_part
    float most = kNothing;
    for (int i = first; i <= last; i++) most = fmaxf(most, a.totals[place + i].most);
    const float base = most == kNothing ? 0.0f : most;
    float total = 0;
    for (int i = first; i <= last; i++) total += expf(a.totals[place + i].most - base) * a.totals[place + i].sum;
    const float inverse = total > 0 ? 1.0f / total : 0.0f;
    for (int d = threadIdx.x; d < a.head_dim; d += blockDim.x) {
        float s = 0;
        for (int i = first; i <= last; i++) s += expf(a.totals[place + i].most - base) * a.sums[(place + i) * a.head_dim + d];
        from_float(s * inverse, a.out.data[row * a.out.stride + static_cast<int64_t>(head) * a.head_dim + d]);
    }
}

}  // namespace

void attention_cached(Context& c, const so8t_attention_cached_params& p) {
    const AttentionCachedViews v = check(c, p);
    if (p.rows == 0 || p.capacity == 0) return;
    const int64_t span = round_up(ceil_div(p.capacity, kMostParts), kPositions), parts = ceil_div(p.capacity, span), group = p.heads / p.kv_heads;
    Scratch scratch(c);
    float* sums = scratch.take<float>(p.rows * p.heads * parts * p.head_dim);
    Total* totals = scratch.take<Total>(p.rows * p.heads * parts);
    by_compute(v.q.dtype, [&](auto tag) {
        using T = decltype(tag);
        const Cached<T> a{matrix_of<const T>(v.q), matrix_of<const T>(v.cache_k), matrix_of<const T>(v.cache_v), matrix_of<T>(v.out), v.pages,
                          v.slot.as<int32_t>(), v.position.as<int32_t>(), static_cast<int>(p.heads), static_cast<int>(group), static_cast<int>(p.head_dim),
                          // A window of all positions is none.
                          static_cast<int>(p.window < p.capacity ? p.window : 0), static_cast<int>(p.slots), static_cast<int>(p.capacity),
                          static_cast<int>(parts), static_cast<int>(span), static_cast<float>(p.scale), sums, totals};
        by_width<T>(
            p.head_dim,
            [&](auto n) {
                const auto launch = [&](auto most) {
                    constexpr int G = decltype(most)::value;
                    // With many rows a block takes several parts: most rows have few, and blocks that find none cost their launch.
                    const int64_t heads = p.kv_heads * ceil_div(group, G), across = ceil_div(16 * c.processors, p.rows * heads);
                    const dim3 grid(static_cast<unsigned>(p.rows), static_cast<unsigned>(across < parts ? across : parts), static_cast<unsigned>(heads));
                    LAUNCH_NEXT((attend_part<T, decltype(n)::value, decltype(most)::value>), grid, dim3(kBlock), 0, c, a);
                };
                if (group == 1) {
                    launch(std::integral_constant<int, 1>{});
                } else {
                    launch(std::integral_constant<int, 4>{});
                }
            },
            v.cache_k, v.cache_v);
        launched("attention_cached");
        if (parts == 1) return;
        const dim3 grid(static_cast<unsigned>(p.rows), static_cast<unsigned>(p.heads));
        LAUNCH_NEXT((join_parts<T>), grid, dim3(static_cast<unsigned>(round_up(p.head_dim, 32))), 0, c, a);
        launched("join_parts");
    });
}

}  // namespace so8t::cuda
