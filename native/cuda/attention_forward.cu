// out = softmax(scale q k^T) v over packed sequences, causal; lse = log of the sum of e^(scale q k^T).
// Tiles of keys with a running maximum: Milakov and Gimelshein, arXiv 1805.02867; Dao, arXiv 2307.08691.
// Reference: TestOperations/attention in native/attention_test.go.
#include <cmath>

#include "attention.h"
#include "cudnn_attention.h"

namespace so8t::cuda {

namespace {

constexpr int kSearchThreads = 256;

// low[i] is in [0, i] and high[i] in (i, rows], even if the queued check will refuse the boundaries.
__global__ void __launch_bounds__(kSearchThreads) find_seen(const int32_t* cu, int sequences, int rows, int padded, int window, int32_t* low, int32_t* high) {
    const int row = blockIdx.x * kSearchThreads + threadIdx.x;
    if (row >= padded) return;
    if (row >= rows) {
        low[row] = row;
        high[row] = row + 1;
        return;
    }
    int before = 0, after = sequences;  // cu[before] <= row < cu[after]
    while (after - before > 1) {
        const int middle = before + (after - before) / 2;
        if (cu[middle] <= row) {
            before = middle;
        } else {
            after = middle;
        }
    }
    const int first = cu[before], end = cu[after];
    const int start = row + 1 - window;  // window <= rows
    const int lowest = first > start ? first : start;
    low[row] = lowest < 0 ? 0 : lowest > row ? row : lowest;
    const int limit = row < rows - window ? row + window : rows;
    const int highest = least(end, limit);
    high[row] = highest > row ? highest : row + 1;
}

template <class T>
struct Forward : Attention<T> {
    Matrix<T> out;
    Matrix<float> lse;
};

constexpr float kNothing = -INFINITY;

constexpr int kQueries = 128;
template <int D>
constexpr int kKeys = D > 112 ? 48 : 64;  // as many scores as fit into registers beside the sums

// Turns scores of keys [key, key + K) into weights relative to each row's largest score so far, and rescales sums and totals
// to it. whole: every row sees every key.
template <int D, int K>
__device__ __forceinline__ void soften(float (&s)[2][K / 8][4], float (&o)[2][D / 8][4], float (&most)[2][2], float (&total)[2][2], const Seen& seen, int top,
                                       int key, bool whole, float scale) {
    constexpr int NT = K / 8;
    if (!whole) {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int row = top + i * 8 + lane / 4, low = seen.low[row];
#pragma unroll
            for (int n = 0; n < 2 * NT; n++) {
                const int j = key + n / 2 * 8 + lane % 4 * 2 + n % 2;
                if (j < low || j > row) s[i / 2][n / 2][i % 2 * 2 + n % 2] = kNothing;
            }
        }
    }
#pragma unroll
    for (int m = 0; m < 2; m++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float next = most[m][h];
#pragma unroll
            for (int i = 0; i < 2 * NT; i++) next = fmaxf(next, s[m][i / 2][2 * h + i % 2]);
            next = fmaxf(next, __shfl_xor_sync(kAllLanes, next, 1));
            next = fmaxf(next, __shfl_xor_sync(kAllLanes, next, 2));
            // Both rounded: a row whose largest score stays is multiplied by exactly 1, whichever rows are beside it in the warp.
            const float base = next == kNothing ? 0.0f : __fmul_rn(next, scale);
            if (__ballot_sync(kAllLanes, next != most[m][h])) {
                const float shrink = exp2_fast(__fmul_rn(most[m][h], scale) - base);
                total[m][h] *= shrink;
#pragma unroll
                for (int i = 0; i < D / 4; i++) o[m][i / 2][2 * h + i % 2] *= shrink;
            }
            most[m][h] = next;
#pragma unroll
            for (int i = 0; i < 2 * NT; i++) {
                float& x = s[m][i / 2][2 * h + i % 2];
                x = exp2_fast(x * scale - base);
                total[m][h] += x;
            }
        }
    }
}

// The factor that normalizes the sums of weighted values, and the rows' log-sum-exp.
__device__ __forceinline__ void finish_sums(float (&inverse)[2][2], const float (&most)[2][2], const float (&total)[2][2], const Forward<bf16>& a, int head,
                                            int top) {
    const int lane = reread_thread() % 32;
#pragma unroll
    for (int m = 0; m < 2; m++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            float t = total[m][h];
            t += __shfl_xor_sync(kAllLanes, t, 1);
            t += __shfl_xor_sync(kAllLanes, t, 2);
            inverse[m][h] = t > 0 ? 1.0f / t : 0.0f;
            const int row = top + m * 16 + h * 8 + lane / 4;
            if (lane % 4 == 0 && row < a.rows) a.lse.data[head * a.lse.stride + row] = most[m][h] * a.scale + logf(t);
        }
    }
}

// Below 9.0, queries of 96 columns take a few registers too many.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
template <int D>
constexpr bool kHeldQueries = D < 96;
#else
template <int D>
constexpr bool kHeldQueries = kHeld<D>;
#endif

// Four warps of 32 queries. Keys and values have one buffer each: values are loaded while scores are computed, the next keys
// while values are summed.
template <int D>
__global__ void __launch_bounds__(kThreads, 2) forward_tiles(const Forward<bf16> a) {
    constexpr int MT = 2, K = kKeys<D>, NT = K / 8;
    DYNAMIC_SHARED(bf16, shared);
    bf16 *q = shared, *k = q + kQueries * D, *v = k + K * D;
    const int head = head_of_block();
    if (head >= a.heads) return;
    // The last tiles see the most keys, so they start first.
    const int first = (gridDim.y - 1 - blockIdx.y) * kQueries, end = least(first + kQueries, a.rows);
    const int mine = threadIdx.x / 32 * 32, top = first + mine;
    const int column = head * a.head_dim, kv_column = head / a.group * a.head_dim;
    const int begin = a.seen.low[first] / K * K, lowest = a.seen.low[top], all_low = a.seen.low[top + 31];
    const float scale = a.scale * kLog2E;

    Left<D, MT, kHeldQueries<D>> queries(q + mine * D);
    float o[MT][D / 8][4] = {}, most[MT][2], total[MT][2] = {};
    for (int i = 0; i < 2 * MT; i++) most[i / 2][i % 2] = kNothing;
    load_tile<D, kQueries>(q, a.q, column, first, a.rows, a.head_dim, a.wide);
    load_tile<D, K>(k, a.k, kv_column, begin, a.rows, a.head_dim, a.wide);
    cp_async_commit();
    hold(queries);
    for (int key = begin; key < end; key += K) {
        cp_async_wait<0>();
        __syncthreads();  // the keys are there, and nobody needs the last values
        load_tile<D, K>(v, a.v, kv_column, key, a.rows, a.head_dim, a.wide);
        cp_async_commit();
        const bool any = key <= top + 31 && key + K > lowest, whole = key + K - 1 <= top && key >= all_low;
        float s[MT][NT][4];
        if (any) multiply_turned(s, queries, k);
        cp_async_wait<0>();
        __syncthreads();  // the values are there, and nobody needs the keys
        if (key + K < end) {
            load_tile<D, K>(k, a.k, kv_column, key + K, a.rows, a.head_dim, a.wide);
            cp_async_commit();
        }
        if (!any) continue;
        soften<D, K>(s, o, most, total, a.seen, top, key, whole, scale);
        multiply_add<D>(o, s, v);
    }
    float inverse[MT][2];
    finish_sums(inverse, most, total, a, head, top);
    store_rows<D>(q + mine * D, o, inverse, a.out, column, top, a.rows, a.head_dim, a.wide);
}

template <class T, int D>
__global__ void __launch_bounds__(8 * kRows<D>) forward_rows(const Forward<T> a) {
    constexpr int R = kRows<D>;
    DYNAMIC_SHARED(float, shared);
    float *q = shared, *k = q + R * kRow<D>, *v = k + R * kRow<D>, *p = v + R * kRow<D>;
    const int head = head_of_block();
    if (head >= a.heads) return;
    const int r = threadIdx.x / 8, g = threadIdx.x % 8;
    const int first = (gridDim.y - 1 - blockIdx.y) * R, row = first + r, end = least(first + R, a.rows);
    const int column = head * a.head_dim, kv_column = head / a.group * a.head_dim;
    const int low = a.seen.low[row];
    float* const weights = p + r * (R + 4);
    float o[D / 8] = {}, most = kNothing, total = 0;
    load_floats_tile<D>(q, a.q, column, first, a.rows, a.head_dim);
    for (int key = a.seen.low[first] / R * R; key < end; key += R) {
        __syncthreads();
        load_floats_tile<D>(k, a.k, kv_column, key, a.rows, a.head_dim);
        load_floats_tile<D>(v, a.v, kv_column, key, a.rows, a.head_dim);
        __syncthreads();
        float s[R / 8], next = most;
        dot_rows<D>(s, q + r * kRow<D>, k, g);
#pragma unroll
        for (int i = 0; i < R / 8; i++) {
            const int j = key + g + 8 * i;
            s[i] = j < low || j > row ? kNothing : s[i] * a.scale;
            next = fmaxf(next, s[i]);
        }
#pragma unroll
        for (int i = 1; i < 8; i *= 2) next = fmaxf(next, __shfl_xor_sync(kAllLanes, next, i));
        const float base = next == kNothing ? 0.0f : next, shrink = expf(most - base);
        most = next;
        total *= shrink;
        __syncwarp();  // the weights before these have been read
#pragma unroll
        for (int i = 0; i < R / 8; i++) {
            const float e = expf(s[i] - base);
            total += e;
            weights[g + 8 * i] = e;
        }
        __syncwarp();
#pragma unroll
        for (int i = 0; i < D / 8; i++) o[i] *= shrink;
        add_rows<D>(o, weights, v, g);
    }
#pragma unroll
    for (int i = 1; i < 8; i *= 2) total += __shfl_xor_sync(kAllLanes, total, i);
    if (row >= a.rows) return;
    store_sums<D>(o, total > 0 ? 1.0f / total : 0.0f, a.out, column, row, a.head_dim, g);
    if (g == 0) a.lse.data[head * a.lse.stride + row] = most + logf(total);
}

}  // namespace

Seen seen(Context& c, Scratch& scratch, const View& cu_seqlens, int64_t rows, int64_t sequences, int64_t window) {
    if (rows == 0) return {};
    const int64_t padded = round_up(rows, kTile);
    int32_t *low = scratch.take<int32_t>(padded), *high = scratch.take<int32_t>(padded);
    const int reach = static_cast<int>(window > 0 && window < rows ? window : rows);
    LAUNCH(find_seen, dim3(static_cast<unsigned>(ceil_div(padded, kSearchThreads))), dim3(kSearchThreads), 0, c.stream, cu_seqlens.as<int32_t>(),
           static_cast<int>(sequences), static_cast<int>(rows), static_cast<int>(padded), reach, low, high);
    launched("find_seen");
    return {low, high};
}

void own_forward(Context& c, const so8t_attention_forward_params& p, const AttentionForwardViews& v) {
    Scratch scratch(c);
    const Seen s = seen(c, scratch, v.cu_seqlens, p.rows, p.sequences, p.window);
    if (p.rows == 0) return;
    by_compute(v.q.dtype, [&](auto tag) {
        using T = decltype(tag);
        const bool whole_chunks = p.head_dim * sizeof(T) % 16 == 0 && wide(v.q, v.k, v.v, v.out);
        const Forward<T> a{{matrix_of<const T>(v.q), matrix_of<const T>(v.k), matrix_of<const T>(v.v), s, static_cast<int>(p.rows), static_cast<int>(p.heads),
                            static_cast<int>(p.heads / p.kv_heads), static_cast<int>(p.head_dim), static_cast<float>(p.scale), whole_chunks},
                           matrix_of<T>(v.out),
                           matrix_of<float>(v.lse)};
        if constexpr (sizeof(T) == 2) {
            // Its running maximum is that of unscaled scores, which needs a positive scale.
            if (p.head_dim <= 128 && p.scale > 0) {
                by_tile_width(p.head_dim, [&](auto d) {
                    constexpr int D = decltype(d)::value;
                    constexpr size_t bytes = (kQueries + 2 * kKeys<D>)*D * sizeof(bf16);
                    allow_shared(forward_tiles<D>, bytes);
                    LAUNCH((forward_tiles<D>), grid_of(p.heads, p.rows, kQueries), dim3(kThreads), bytes, c.stream, a);
                });
                return;
            }
        }
        by_row_width<T>(p.head_dim, [&](auto d) {
            constexpr int D = decltype(d)::value, R = kRows<D>;
            constexpr size_t bytes = (3 * R * kRow<D> + R * (R + 4)) * sizeof(float);
            allow_shared(forward_rows<T, D>, bytes);
            LAUNCH((forward_rows<T, D>), grid_of(p.heads, p.rows, R), dim3(8 * R), bytes, c.stream, a);
        });
    });
    launched("attention_forward");
}

void attention_forward(Context& c, const so8t_attention_forward_params& p) {
    const AttentionForwardViews v = check(c, p);
    if (!c.cudnn->forward(p, v)) own_forward(c, p, v);
}

}  // namespace so8t::cuda
