// With P = e^(scale q k^T - lse) and delta = sum(dout * out): dv = P^T dout, dS = scale P (dout v^T - delta), dk = dS^T q, dq = dS k.
// Dao, arXiv 2307.08691. A unit of work is one key head of one sequence: no two threads add to the same sum, whose order is fixed.
// Scores are computed transposed, [keys, queries], so that every product but dq's reads its operands in place; so is dq.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "attention.h"
#include "checks/attention.h"

namespace so8t::SO8T_ISA {

namespace {

constexpr int64_t kBlock = 128;  // queries and keys of one product

struct Backward : AttentionBackwardViews {
    Shape s;
};

// P^T and dS^T of keys [k0, k0 + n) by queries [q0, q0 + m), from their scores; m counts the padding.
template <class T>
void gradients(const Backward& b, const float* lse, const float* delta, const float* scores, const float* dp, T* p, T* ds, int64_t k0, int64_t n, int64_t q0,
               int64_t m, int64_t window) {
    const vf scale = set(b.s.scale);
    for (int64_t i = 0; i < n; i++) {
        const int64_t key = k0 + i;
        const int64_t low = std::clamp<int64_t>(key - q0, 0, m), high = std::clamp<int64_t>(key + window - q0, 0, m);
        T *prow = p + i * m, *srow = ds + i * m;
        const float *score = scores + i * m, *d = dp + i * m;
        if (low >= high) {
            std::memset(static_cast<void*>(prow), 0, static_cast<size_t>(m) * sizeof(T));
            std::memset(static_cast<void*>(srow), 0, static_cast<size_t>(m) * sizeof(T));
            continue;
        }
        // Whole vectors: m is a multiple of 16. Columns outside [low, high) are cleared afterwards.
        for (int64_t j = low / W * W; j < high; j += W) {
            const vf e = exp(fma(load(score + j), scale, -load(lse + q0 + j)));
            store(prow + j, e);
            store(srow + j, e * (load(d + j) - load(delta + q0 + j)) * scale);
        }
        std::memset(static_cast<void*>(prow), 0, static_cast<size_t>(low) * sizeof(T));
        std::memset(static_cast<void*>(srow), 0, static_cast<size_t>(low) * sizeof(T));
        std::memset(static_cast<void*>(prow + high), 0, static_cast<size_t>(m - high) * sizeof(T));
        std::memset(static_cast<void*>(srow + high), 0, static_cast<size_t>(m - high) * sizeof(T));
    }
}

template <class T>
void sequence(const Backward& b, int64_t first, int64_t length, int64_t kv, Worker& w) {
    const int64_t D = b.s.head_dim, group = b.s.heads / b.s.kv_heads, padded = round_up(length, padding<T>(w));
    const int64_t window = b.s.window > 0 ? b.s.window : length;
    const int32_t dtype = dtype_of<T>();
    T* q = w.take<T>(padded * D);
    T* k = w.take<T>(padded * D);
    T* v = w.take<T>(padded * D);
    T* dout = w.take<T>(padded * D);
    T* kt = w.take<T>(D * padded);
    float* dqt = w.take<float>(D * padded + 16 * kBlock);  // products write multiples of 16 rows
    float* dk = w.take<float>(padded * D);
    float* dv = w.take<float>(padded * D);
    float* lse = w.take<float>(padded);
    float* delta = w.take<float>(padded);
    float* scores = w.take<float>(kBlock * kBlock);
    float* dp = w.take<float>(kBlock * kBlock);
    T* p = w.take<T>(kBlock * kBlock);
    T* ds = w.take<T>(kBlock * kBlock);
    T *turned[2], *plain[2];  // queries' and dout's panels
    for (int i = 0; i < 2; i++) {
        turned[i] = w.take<T>(packed_size(kBlock, D));
        plain[i] = w.take<T>(packed_size(D, kBlock));
    }
    copy_head(b.k, first, length, kv * D, D, k, padded);
    copy_head(b.v, first, length, kv * D, D, v, padded);
    for (int64_t k0 = 0; k0 < padded; k0 += kBlock) {  // by blocks, each [D, keys]
        const int64_t n = std::min(kBlock, padded - k0);
        transpose(k + k0 * D, D, n, D, kt + k0 * D, n, n);
    }
    for (int64_t head = kv * group; head < (kv + 1) * group; head++) {
        copy_head(b.q, first, length, head * D, D, q, padded);
        copy_head(b.dout, first, length, head * D, D, dout, padded);
        for (int64_t i = 0; i < length; i++) {
            vf s = set(0);
            const T* o = b.out.row<T>(first + i) + head * D;
            for_vectors(D, [&](int64_t d, auto n) { s = fma(load(o + d, n), load(dout + i * D + d, n), s); });
            delta[i] = sum(s);
            lse[i] = b.lse.row<float>(head)[first + i];
        }
        for (int64_t i = length; i < padded; i++) {
            delta[i] = 0;
            lse[i] = 1e30f;  // so that padding queries have no weight
        }
        for (int64_t q0 = 0; q0 < padded; q0 += kBlock) {
            const int64_t m = std::min(kBlock, padded - q0);
            const Operand<T> q_turned(w, q + q0 * D, D, m, D, true, turned[0]), dout_turned(w, dout + q0 * D, D, m, D, true, turned[1]);
            const Operand<T> q_rows(w, q + q0 * D, D, D, m, false, plain[0]), dout_rows(w, dout + q0 * D, D, D, m, false, plain[1]);
            const int64_t low = std::max<int64_t>(0, q0 + 1 - window) / kBlock * kBlock;
            for (int64_t k0 = low; k0 <= q0; k0 += kBlock) {
                const int64_t n = std::min(kBlock, padded - k0);
                q_turned.multiply(w, n, k + k0 * D, D, scores, m, false);
                dout_turned.multiply(w, n, v + k0 * D, D, dp, m, false);
                gradients(b, lse, delta, scores, dp, p, ds, k0, n, q0, m, window);
                // The first block of queries that sees these keys starts the sums: the keys' own, of the first head.
                const bool more = head > kv * group || q0 > k0;
                dout_rows.multiply(w, n, p, m, dv + k0 * D, D, more);
                q_rows.multiply(w, n, ds, m, dk + k0 * D, D, more);
                multiply<T>(w, {D, m, n, dtype, kt + k0 * D, n, false, ds, m, false, dqt + q0 * D, m, k0 > low});
            }
        }
        for (int64_t i = 0; i < length; i++) {
            T* out = b.dq.row<T>(first + i) + head * D;
            const int64_t q0 = i / kBlock * kBlock, m = std::min(kBlock, padded - q0);
            for (int64_t d = 0; d < D; d++) from_float(dqt[q0 * D + d * m + i - q0], out[d]);
        }
    }
    for (int64_t i = 0; i < length; i++) {
        for_vectors(D, [&](int64_t d, auto n) {
            store(b.dk.row<T>(first + i) + kv * D + d, load(dk + i * D + d, n), n);
            store(b.dv.row<T>(first + i) + kv * D + d, load(dv + i * D + d, n), n);
        });
    }
}

}  // namespace

void attention_backward(Context& c, const so8t_attention_backward_params& p) {
    const Backward b{check(c, p), shape_of(p)};
    const int32_t* cu = b.cu_seqlens.as<int32_t>();
    by_compute(b.q.dtype, [&](auto tag) {
        c.parallel(p.sequences * p.kv_heads, [&](int64_t unit, Worker& w) {
            const int64_t i = unit / p.kv_heads;
            if (cu[i + 1] > cu[i]) sequence<decltype(tag)>(b, cu[i], cu[i + 1] - cu[i], unit % p.kv_heads, w);
        });
    });
}

}  // namespace so8t::SO8T_ISA
