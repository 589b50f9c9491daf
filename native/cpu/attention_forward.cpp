// out = softmax(scale q k^T) v over packed sequences, causal; lse = log of the sum of e^(scale q k^T).
// Blocks of keys with a running maximum: Milakov and Gimelshein, arXiv 1805.02867; Dao et al., arXiv 2205.14135.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "attention.h"
#include "checks/attention.h"

namespace so8t::SO8T_ISA {

template <class T>
void copy_head(const View& x, int64_t first, int64_t n, int64_t column, int64_t head_dim, T* y, int64_t padded) {
    for (int64_t i = 0; i < n; i++) std::memcpy(static_cast<void*>(y + i * head_dim), x.row<T>(first + i) + column, static_cast<size_t>(head_dim) * sizeof(T));
    std::memset(static_cast<void*>(y + n * head_dim), 0, static_cast<size_t>((padded - n) * head_dim) * sizeof(T));
}
template void copy_head(const View&, int64_t, int64_t, int64_t, int64_t, float*, int64_t);
template void copy_head(const View&, int64_t, int64_t, int64_t, int64_t, bf16*, int64_t);

namespace {

// Queries and keys of one product. Packed keys are packed once for all queries, so blocks of queries may be small, which
// wastes less beyond the diagonal.
constexpr int64_t kQueries = 128, kPackedQueries = 64, kKeys = 256;

struct Sequence {
    int64_t first, length;
    int64_t packed;  // where its packed keys and values begin
};

struct Unit {
    const Sequence* sequence;
    int64_t head;
    int64_t query;  // the block's first, counted within the sequence
};

struct Attention : AttentionForwardViews {
    Shape s;
    int64_t queries;
    bf16* packed;  // null: not packed
};

// Elements of a packed block of n keys and their values.
int64_t block_size(const Attention& a, int64_t n) { return packed_size(n, a.s.head_dim) + packed_size(a.s.head_dim, n); }
int64_t head_size(const Attention& a, int64_t length) { return length / kKeys * block_size(a, kKeys) + (length % kKeys ? block_size(a, length % kKeys) : 0); }

bf16* packed_block(const Attention& a, const Sequence& s, int64_t kv, int64_t key) {
    return a.packed + s.packed + kv * head_size(a, s.length) + key / kKeys * block_size(a, kKeys);
}

void pack_block(const Attention& a, const Sequence& s, int64_t kv, int64_t key) {
    const int64_t D = a.s.head_dim, n = std::min(kKeys, s.length - key);
    bf16* to = packed_block(a, s, kv, key);
    pack_nk(a.k.row<bf16>(s.first + key) + kv * D, a.k.stride, n, D, to);
    pack_kn(a.v.row<bf16>(s.first + key) + kv * D, a.v.stride, D, n, to + packed_size(n, D));
}

// Turns scores of one row into probabilities relative to the running maximum. Keys [low, high) are seen.
template <class T>
void soften(const float* scores, T* p, int64_t n, int64_t low, int64_t high, float scale, float& most, float& total, float* out, int64_t head_dim, bool first) {
    vf m = set(-std::numeric_limits<float>::infinity());
    int64_t j = low;
    const vf by = set(scale);
    for (; j + W <= high; j += W) m = max(m, load(scores + j) * by);
    float top = largest(m);
    for (; j < high; j++) top = std::max(top, scores[j] * scale);
    const float next = std::max(most, top);
    const vf base = set(next);
    vf sums = set(0);
    for (j = 0; j < low; j++) from_float(0.0f, p[j]);
    for (j = low; j + W <= high; j += W) {
        const vf e = exp(fma(load(scores + j), by, -base));
        sums = sums + e;
        store(p + j, e);
    }
    float s = 0;
    if (j < high) {
        const vf e = exp(fma(load(scores + j, high - j), by, -base));
        store(p + j, e, high - j);
        for (int64_t i = 0; i < high - j; i++) s += e[i];
    }
    for (j = high; j < n; j++) from_float(0.0f, p[j]);
    s += sum(sums);
    if (!first) {
        const float shrink = std::exp(most - next);
        total *= shrink;
        if (shrink != 1) {
            const vf by_shrink = set(shrink);
            for_vectors(head_dim, [&](int64_t d, auto k) { store(out + d, load(out + d, k) * by_shrink, k); });
        }
    }
    total += s;
    most = next;
}

template <class T>
void attend(const Attention& a, const Unit& u, Worker& w) {
    const Sequence& sequence = *u.sequence;
    const int64_t D = a.s.head_dim, kv = u.head / (a.s.heads / a.s.kv_heads), first = sequence.first + u.query;
    const int64_t pad = padding<T>(w), m = std::min(a.queries, sequence.length - u.query), mp = round_up(m, pad);
    const int64_t window = a.s.window > 0 ? a.s.window : sequence.length;
    const int64_t begin = std::max<int64_t>(0, u.query + 1 - window) / kKeys * kKeys, end = u.query + m;
    const bool packed = a.packed != nullptr;
    T *q = nullptr, *k = nullptr, *v = nullptr;
    if (!packed) {
        q = w.take<T>(mp * D);
        k = w.take<T>(kKeys * D);
        v = w.take<T>(kKeys * D);
        copy_head(a.q, first, m, u.head * D, D, q, mp);
    }
    T* p = w.take<T>(mp * kKeys);
    float* scores = w.take<float>(mp * kKeys);
    float* out = w.take<float>(mp * D);
    float most[kQueries], total[kQueries];
    std::fill(most, most + m, -std::numeric_limits<float>::infinity());
    std::fill(total, total + m, 0.0f);
    for (int64_t k0 = begin; k0 < end; k0 += kKeys) {
        const int64_t n = std::min(kKeys, end - k0), np = round_up(n, pad), all = std::min(kKeys, sequence.length - k0);
        const bf16* block = packed ? packed_block(a, sequence, kv, k0) : nullptr;
        if (packed) {
            multiply_packed(m, n, D, a.q.row<bf16>(first) + u.head * D, a.q.stride, block, scores, np, false);
        } else {
            copy_head(a.k, sequence.first + k0, n, kv * D, D, k, np);
            copy_head(a.v, sequence.first + k0, n, kv * D, D, v, np);
            multiply<T>(w, {mp, np, D, dtype_of<T>(), q, D, false, k, D, true, scores, np, false});
        }
        for (int64_t i = 0; i < m; i++) {
            const int64_t at = u.query + i, low = std::max<int64_t>(0, at + 1 - window - k0), high = std::min(n, at + 1 - k0);
            if (low >= high) {
                std::memset(static_cast<void*>(p + i * np), 0, static_cast<size_t>(np) * sizeof(T));
                continue;
            }
            soften(scores + i * np, p + i * np, np, low, high, a.s.scale, most[i], total[i], out + i * D, D, k0 == begin);
        }
        if (packed) {
            multiply_packed(m, D, n, reinterpret_cast<const bf16*>(p), np, block + packed_size(all, D), out, D, k0 > begin, all);
        } else {
            std::memset(static_cast<void*>(p + m * np), 0, static_cast<size_t>((mp - m) * np) * sizeof(T));
            multiply<T>(w, {mp, D, np, dtype_of<T>(), p, np, false, v, D, false, out, D, k0 > begin});
        }
    }
    for (int64_t i = 0; i < m; i++) {
        const vf inverse = set(1.0f / total[i]);
        for_vectors(D, [&](int64_t d, auto n) { store(a.out.row<T>(first + i) + u.head * D + d, load(out + i * D + d, n) * inverse, n); });
        a.lse.row<float>(u.head)[first + i] = most[i] + std::log(total[i]);
    }
}

}  // namespace

void attention_forward(Context& c, const so8t_attention_forward_params& p) {
    Attention a{check(c, p), shape_of(p), kQueries, nullptr};
    const int32_t* cu = a.cu_seqlens.as<int32_t>();
    std::vector<Sequence> sequences;
    int64_t size = 0;
    for (int64_t i = 0; i < p.sequences; i++) {
        sequences.push_back({cu[i], cu[i + 1] - cu[i], size});
        size += p.kv_heads * head_size(a, sequences.back().length);
    }
    if (c.packs && a.q.dtype == SO8T_BFLOAT16) {
        a.queries = kPackedQueries;
        a.packed = c.shared<bf16>(size);
        std::vector<Unit> blocks;  // of keys; query is the first key
        for (const Sequence& s : sequences) {
            for (int64_t kv = 0; kv < p.kv_heads; kv++) {
                for (int64_t key = 0; key < s.length; key += kKeys) blocks.push_back({&s, kv, key});
            }
        }
        c.parallel(static_cast<int64_t>(blocks.size()), [&](int64_t i, Worker&) {
            const Unit& u = blocks[static_cast<size_t>(i)];
            pack_block(a, *u.sequence, u.head, u.query);
        });
    }
    std::vector<Unit> units;
    for (const Sequence& s : sequences) {
        for (int64_t h = 0; h < p.heads; h++) {
            // The last blocks see the most keys: they come first, so that no thread ends with a long one.
            for (int64_t block = ceil_div(s.length, a.queries) - 1; block >= 0; block--) units.push_back({&s, h, block * a.queries});
        }
    }
    by_compute(a.q.dtype, [&](auto tag) {
        c.parallel(static_cast<int64_t>(units.size()), [&](int64_t i, Worker& w) { attend<decltype(tag)>(a, units[static_cast<size_t>(i)], w); });
    });
}

}  // namespace so8t::SO8T_ISA
