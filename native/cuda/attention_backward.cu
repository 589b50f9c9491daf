// With P = e^(scale q k^T - lse) and delta = sum(dout * out): dv = P^T dout, dS = scale P (dout v^T - delta), dk = dS^T q, dq = dS k.
// Dao, arXiv 2307.08691. One kernel takes tiles of keys, another tiles of queries, and both compute P again: no two blocks add
// to the same sum, whose order is fixed. dS is multiplied by scale at the end. A query that sees one key only has
// P = 1 whatever q and k are: its dS is exactly 0.
// Reference: TestOperations/attention in native/attention_test.go.
#include "attention_statistics.h"
#include "cudnn_attention.h"

namespace so8t::cuda {

namespace {

template <class T>
struct Backward : Attention<T> {
    Matrix<const T> dout;
    Matrix<T> dq, dk, dv;
    const Statistics* statistics;  // [heads, padded]
    int padded;                    // rows, to a multiple of kTile
};

// The first query whose dS for a key may differ from 0.
__device__ inline int after_alone(const Seen& seen, int key) { return seen.low[key] == key ? key + 1 : key; }

// ---- tensor cores ----

constexpr int kOwnKeys = 64, kOwnQueries = 128;  // of a block
constexpr int kStep = 32;                        // rows of the other side at a time, double-buffered

// Four warps of 16 keys. Scores are computed transposed, [keys, queries], so that P^T and dS^T have the next products' layout.
template <int D>
__global__ void __launch_bounds__(kThreads, 2) key_tiles(const Backward<bf16> a) {
    constexpr int NT = kStep / 8;
    DYNAMIC_SHARED(bf16, shared);
    bf16 *k = shared, *v = k + kOwnKeys * D, *turns = v + kOwnKeys * D;             // turns: [2][q, dout][kStep, D]
    Statistics* statistics = reinterpret_cast<Statistics*>(turns + 4 * kStep * D);  // [2][kStep]
    const int kv = head_of_block();
    if (kv >= a.heads / a.group) return;
    const int lane = threadIdx.x % 32;
    // The first tiles have the most queries, so they start first.
    const int first = blockIdx.y * kOwnKeys, end = a.seen.high[least(first + kOwnKeys, a.rows) - 1];
    const int mine = threadIdx.x / 32 * 16, top = first + mine;
    const int kv_column = kv * a.head_dim;
    const int row[2] = {top + lane / 4, top + lane / 4 + 8}, high[2] = {a.seen.high[row[0]], a.seen.high[row[1]]};
    const int low[2] = {after_alone(a.seen, row[0]), after_alone(a.seen, row[1])};
    const int any_high = a.seen.high[top + 15], all_high = a.seen.high[top];
    const float scale = a.scale * kLog2E;

    Left<D, 1, kHeld<D>> keys(k + mine * D), values(v + mine * D);
    float dk[1][D / 8][4] = {}, dv[1][D / 8][4] = {};
    load_tile<D, kOwnKeys>(k, a.k, kv_column, first, a.rows, a.head_dim, a.wide);
    load_tile<D, kOwnKeys>(v, a.v, kv_column, first, a.rows, a.head_dim, a.wide);
    // Head after head of the group, each over the same queries.
    int head = kv * a.group, query = first, turn = 0;
    const int last_head = head + a.group - 1;
    const auto load = [&](int h, int at_query, int buffer) {
        bf16* q = turns + buffer * 2 * kStep * D;
        const int column = h * a.head_dim;
        load_tile<D, kStep>(q, a.q, column, at_query, a.rows, a.head_dim, a.wide);
        load_tile<D, kStep>(q + kStep * D, a.dout, column, at_query, a.rows, a.head_dim, a.wide);
        if (threadIdx.x < kStep / 2) {
            cp_async16(statistics + buffer * kStep + threadIdx.x * 2, a.statistics + static_cast<int64_t>(h) * a.padded + at_query + threadIdx.x * 2);
        }
        cp_async_commit();
    };
    load(head, query, 0);
    hold(keys, values);
    for (bool more = true; more; turn ^= 1) {
        const int here = query;
        query += kStep;
        if (query >= end) {
            query = first;
            more = head++ < last_head;
        }
        cp_async_wait<0>();
        __syncthreads();  // these queries are there, and nobody needs the last ones
        if (more) load(head, query, turn ^ 1);
        if (warp_agrees(here + kStep <= top || here >= any_high)) continue;
        const bool whole = warp_agrees(here > top + 15 && here + kStep <= all_high);
        const bf16 *q = turns + turn * 2 * kStep * D, *dout = q + kStep * D;
        float p[1][NT][4], ds[1][NT][4];
        multiply_turned(p, keys, q);
        multiply_turned(ds, values, dout);
#pragma unroll
        for (int n = 0; n < NT; n++) {
            const int at_query = n * 8 + lane % 4 * 2;
            float of[4];  // two queries' statistics
            load_floats(&statistics[turn * kStep + at_query].lse, of);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                p[0][n][i] = exp2_fast(p[0][n][i] * scale - of[i % 2 * 2]);
                ds[0][n][i] = p[0][n][i] * (ds[0][n][i] - of[i % 2 * 2 + 1]);
            }
        }
        if (!whole) {
#pragma unroll
            for (int i = 0; i < 4 * NT; i++) {
                const int h = i % 4 / 2, j = here + i / 4 * 8 + lane % 4 * 2 + i % 2;
                if (j < row[h] || j >= high[h]) p[0][i / 4][i % 4] = 0;
                if (j < low[h] || j >= high[h]) ds[0][i / 4][i % 4] = 0;
            }
        }
        multiply_add<D>(dv, p, dout);
        multiply_add<D>(dk, ds, q);
    }
    const float ones[1][2] = {{1, 1}}, scales[1][2] = {{a.scale, a.scale}};
    store_rows<D>(v + mine * D, dv, ones, a.dv, kv_column, top, a.rows, a.head_dim, a.wide);
    store_rows<D>(k + mine * D, dk, scales, a.dk, kv_column, top, a.rows, a.head_dim, a.wide);
}

// Four warps of 32 queries.
template <int D>
__global__ void __launch_bounds__(kThreads, 2) query_tiles(const Backward<bf16> a) {
    constexpr int MT = 2, NT = kStep / 8;
    DYNAMIC_SHARED(bf16, shared);
    bf16 *q = shared, *dout = q + kOwnQueries * D, *turns = dout + kOwnQueries * D;  // turns: [2][k, v][kStep, D]
    Statistics* statistics = reinterpret_cast<Statistics*>(turns + 4 * kStep * D);
    static_assert(kOwnQueries == kThreads, "a thread brings one query's statistics");
    const int head = head_of_block();
    if (head >= a.heads) return;
    const int lane = threadIdx.x % 32;
    const int first = (gridDim.y - 1 - blockIdx.y) * kOwnQueries, end = least(first + kOwnQueries, a.rows);
    const int mine = threadIdx.x / 32 * 32, top = first + mine;
    const int column = head * a.head_dim, kv_column = head / a.group * a.head_dim;
    const int begin = a.seen.low[first] / kStep * kStep;
    const float scale = a.scale * kLog2E;
    // In shared memory, as registers are full; each warp reads only what it wrote.
    statistics[threadIdx.x] = a.statistics[static_cast<int64_t>(head) * a.padded + first + threadIdx.x];

    Left<D, MT, kHeld<D>> queries(q + mine * D);
    const Left<D, MT, false> gradients(dout + mine * D);  // no registers are left for these
    float dq[MT][D / 8][4] = {};
    const auto load = [&](int key, int buffer) {
        bf16* k = turns + buffer * 2 * kStep * D;
        load_tile<D, kStep>(k, a.k, kv_column, key, a.rows, a.head_dim, a.wide);
        load_tile<D, kStep>(k + kStep * D, a.v, kv_column, key, a.rows, a.head_dim, a.wide);
        cp_async_commit();
    };
    load_tile<D, kOwnQueries>(q, a.q, column, first, a.rows, a.head_dim, a.wide);
    load_tile<D, kOwnQueries>(dout, a.dout, column, first, a.rows, a.head_dim, a.wide);
    load(begin, 0);
    hold(queries);
    int turn = 0;
    for (int key = begin; key < end; key += kStep, turn ^= 1) {
        const int lowest = a.seen.low[top], all_low = a.seen.low[top + 31];  // read again, as registers are full
        cp_async_wait<0>();
        __syncthreads();  // these keys are there, and nobody needs the last ones
        if (key + kStep < end) load(key + kStep, turn ^ 1);
        if (warp_agrees(key > top + 31 || key + kStep <= lowest)) continue;
        const bool whole = warp_agrees(key + kStep <= top && key >= all_low);
        const bf16 *k = turns + turn * 2 * kStep * D, *v = k + kStep * D;
        float s[MT][NT][4], ds[MT][NT][4];
        multiply_turned(s, queries, k);
        multiply_turned(ds, gradients, v);
#pragma unroll
        for (int m = 0; m < MT; m++) {
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const Statistics of = statistics[mine + m * 16 + h * 8 + lane / 4];
#pragma unroll
                for (int i = 0; i < 2 * NT; i++) {
                    float& x = ds[m][i / 2][2 * h + i % 2];
                    x = exp2_fast(s[m][i / 2][2 * h + i % 2] * scale - of.lse) * (x - of.delta);
                }
            }
        }
        if (!whole) {
#pragma unroll
            for (int i = 0; i < 2 * MT; i++) {
                const int row = top + i * 8 + lane / 4, low = a.seen.low[row];
#pragma unroll
                for (int n = 0; n < 2 * NT; n++) {
                    const int j = key + n / 2 * 8 + lane % 4 * 2 + n % 2;
                    if (j < low || j > row || low == row) ds[i / 2][n / 2][i % 2 * 2 + n % 2] = 0;
                }
            }
        }
        multiply_add<D>(dq, ds, k);
    }
    const float scales[MT][2] = {{a.scale, a.scale}, {a.scale, a.scale}};
    store_rows<D>(q + mine * D, dq, scales, a.dq, column, top, a.rows, a.head_dim, a.wide);
}

// ---- CUDA cores ----

template <class T, int D>
__global__ void __launch_bounds__(8 * kRows<D>, 1) key_rows(const Backward<T> a) {
    constexpr int R = kRows<D>;
    DYNAMIC_SHARED(float, shared);
    float *k = shared, *v = k + R * kRow<D>, *q = v + R * kRow<D>, *dout = q + R * kRow<D>;
    const int kv = head_of_block();
    if (kv >= a.heads / a.group) return;
    const int r = threadIdx.x / 8, g = threadIdx.x % 8;
    float *const p = dout + R * kRow<D> + r * (R + 4), *const ds = p + R * (R + 4);
    const int first = blockIdx.y * R, row = first + r, end = a.seen.high[least(first + R, a.rows) - 1];
    const int low = after_alone(a.seen, row), high = a.seen.high[row];
    const int kv_column = kv * a.head_dim;
    const float scale = a.scale * kLog2E;
    float dk[D / 8] = {}, dv[D / 8] = {};
    load_floats_tile<D>(k, a.k, kv_column, first, a.rows, a.head_dim);
    load_floats_tile<D>(v, a.v, kv_column, first, a.rows, a.head_dim);
    for (int head = kv * a.group; head < (kv + 1) * a.group; head++) {
        const int column = head * a.head_dim;
        const Statistics* statistics = a.statistics + static_cast<int64_t>(head) * a.padded;
        for (int query = first; query < end; query += R) {
            __syncthreads();
            load_floats_tile<D>(q, a.q, column, query, a.rows, a.head_dim);
            load_floats_tile<D>(dout, a.dout, column, query, a.rows, a.head_dim);
            __syncthreads();
            float s[R / 8], dp[R / 8];
            dot_rows<D>(s, k + r * kRow<D>, q, g);
            dot_rows<D>(dp, v + r * kRow<D>, dout, g);
#pragma unroll
            for (int i = 0; i < R / 8; i++) {
                const int j = query + g + 8 * i;
                const bool sees = j >= row && j < high;
                const float e = sees ? exp2_fast(s[i] * scale - statistics[j].lse) : 0.0f;
                p[g + 8 * i] = e;
                ds[g + 8 * i] = sees && j >= low ? e * (dp[i] - statistics[j].delta) : 0.0f;
            }
            __syncwarp();
            add_rows<D>(dv, p, dout, g);
            add_rows<D>(dk, ds, q, g);
        }
    }
    if (row >= a.rows) return;
    store_sums<D>(dv, 1.0f, a.dv, kv_column, row, a.head_dim, g);
    store_sums<D>(dk, a.scale, a.dk, kv_column, row, a.head_dim, g);
}

template <class T, int D>
__global__ void __launch_bounds__(8 * kRows<D>) query_rows(const Backward<T> a) {
    constexpr int R = kRows<D>;
    DYNAMIC_SHARED(float, shared);
    float *q = shared, *dout = q + R * kRow<D>, *k = dout + R * kRow<D>, *v = k + R * kRow<D>;
    const int head = head_of_block();
    if (head >= a.heads) return;
    const int r = threadIdx.x / 8, g = threadIdx.x % 8;
    float* const ds = v + R * kRow<D> + r * (R + 4);
    const int first = (gridDim.y - 1 - blockIdx.y) * R, row = first + r, end = least(first + R, a.rows);
    const int low = a.seen.low[row];
    const int column = head * a.head_dim, kv_column = head / a.group * a.head_dim;
    const Statistics of = a.statistics[static_cast<int64_t>(head) * a.padded + row];
    const float scale = a.scale * kLog2E;
    float dq[D / 8] = {};
    load_floats_tile<D>(q, a.q, column, first, a.rows, a.head_dim);
    load_floats_tile<D>(dout, a.dout, column, first, a.rows, a.head_dim);
    for (int key = a.seen.low[first] / R * R; key < end; key += R) {
        __syncthreads();
        load_floats_tile<D>(k, a.k, kv_column, key, a.rows, a.head_dim);
        load_floats_tile<D>(v, a.v, kv_column, key, a.rows, a.head_dim);
        __syncthreads();
        float s[R / 8], dp[R / 8];
        dot_rows<D>(s, q + r * kRow<D>, k, g);
        dot_rows<D>(dp, dout + r * kRow<D>, v, g);
#pragma unroll
        for (int i = 0; i < R / 8; i++) {
            const int j = key + g + 8 * i;
            ds[g + 8 * i] = j >= low && j <= row && low < row ? exp2_fast(s[i] * scale - of.lse) * (dp[i] - of.delta) : 0.0f;
        }
        __syncwarp();
        add_rows<D>(dq, ds, k, g);
    }
    if (row >= a.rows) return;
    store_sums<D>(dq, a.scale, a.dq, column, row, a.head_dim, g);
}

void run_tiles([[maybe_unused]] Context& c, const Backward<bf16>& a) {
    by_tile_width(a.head_dim, [&](auto d) {
        constexpr int D = decltype(d)::value;
        constexpr size_t key_bytes = (2 * kOwnKeys + 4 * kStep) * D * sizeof(bf16) + 2 * kStep * sizeof(Statistics),
                         query_bytes = (2 * kOwnQueries + 4 * kStep) * D * sizeof(bf16) + kOwnQueries * sizeof(Statistics);
        allow_shared(key_tiles<D>, key_bytes);
        LAUNCH((key_tiles<D>), grid_of(a.heads / a.group, a.rows, kOwnKeys), dim3(kThreads), key_bytes, c.stream, a);
        launched("attention_backward, keys");
        allow_shared(query_tiles<D>, query_bytes);
        LAUNCH((query_tiles<D>), grid_of(a.heads, a.rows, kOwnQueries), dim3(kThreads), query_bytes, c.stream, a);
        launched("attention_backward, queries");
    });
}

template <class T>
void run_rows([[maybe_unused]] Context& c, const Backward<T>& a) {
    by_row_width<T>(a.head_dim, [&](auto d) {
        constexpr int D = decltype(d)::value, R = kRows<D>;
        constexpr size_t query_bytes = (4 * R * kRow<D> + R * (R + 4)) * sizeof(float), key_bytes = query_bytes + R * (R + 4) * sizeof(float);
        allow_shared(key_rows<T, D>, key_bytes);
        LAUNCH((key_rows<T, D>), grid_of(a.heads / a.group, a.rows, R), dim3(8 * R), key_bytes, c.stream, a);
        launched("attention_backward, keys");
        allow_shared(query_rows<T, D>, query_bytes);
        LAUNCH((query_rows<T, D>), grid_of(a.heads, a.rows, R), dim3(8 * R), query_bytes, c.stream, a);
        launched("attention_backward, queries");
    });
}

}  // namespace

void own_backward(Context& c, const so8t_attention_backward_params& p, const AttentionBackwardViews& v) {
    Scratch scratch(c);
    const Seen s = seen(c, scratch, v.cu_seqlens, p.rows, p.sequences, p.window);
    if (p.rows == 0) return;
    const int rows = static_cast<int>(p.rows), heads = static_cast<int>(p.heads), head_dim = static_cast<int>(p.head_dim),
              padded = static_cast<int>(round_up(p.rows, kTile));
    Statistics* statistics = scratch.take<Statistics>(p.heads * padded);
    by_compute(v.q.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_width<T>(
            p.head_dim,
            [&](auto n) {
                const dim3 grid(static_cast<unsigned>(ceil_div(p.heads * padded * 4, kDeltaThreads)));
                LAUNCH((find_statistics<T, decltype(n)::value>), grid, dim3(kDeltaThreads), 0, c.stream, matrix_of<const T>(v.out), matrix_of<const T>(v.dout),
                       matrix_of<const float>(v.lse), rows, padded, heads, head_dim, statistics);
                launched("find_statistics");
            },
            v.out, v.dout);
        const bool whole_chunks = p.head_dim * sizeof(T) % 16 == 0 && wide(v.q, v.k, v.v, v.dout, v.dq, v.dk, v.dv);
        const Backward<T> a{{matrix_of<const T>(v.q), matrix_of<const T>(v.k), matrix_of<const T>(v.v), s, rows, heads, static_cast<int>(p.heads / p.kv_heads),
                             head_dim, static_cast<float>(p.scale), whole_chunks},
                            matrix_of<const T>(v.dout),
                            matrix_of<T>(v.dq),
                            matrix_of<T>(v.dk),
                            matrix_of<T>(v.dv),
                            statistics,
                            padded};
        if constexpr (sizeof(T) == 2) {
            if (p.head_dim <= 128) return run_tiles(c, a);
        }
        run_rows<T>(c, a);
    });
}

void attention_backward(Context& c, const so8t_attention_backward_params& p) {
    const AttentionBackwardViews v = check(c, p);
    if (!c.cudnn->backward(p, v)) own_backward(c, p, v);
}

}  // namespace so8t::cuda
