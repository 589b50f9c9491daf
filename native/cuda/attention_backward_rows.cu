// attention_backward.cu's formulas on CUDA cores, in float32: for float32 itself, and heads wider than the tensor cores' tiles.
// Reference: TestOperations/attention in native/attention_test.go.
#include "attention_backward.h"

namespace so8t::cuda {

namespace {

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

}  // namespace

template <class T>
void backward_rows([[maybe_unused]] Context& c, const Backward<T>& a) {
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

template void backward_rows<float>(Context&, const Backward<float>&);
template void backward_rows<bf16>(Context&, const Backward<bf16>&);

}  // namespace so8t::cuda
