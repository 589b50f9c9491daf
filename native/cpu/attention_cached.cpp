// out = softmax(scale q k^T) v for one query a row, over the keys and values in its slot of the cache.
#include <algorithm>
#include <cmath>
#include <limits>

#include "attention.h"
#include "checks/attention.h"

namespace so8t::SO8T_ISA {

namespace {

template <class T>
float dot(const float* a, const T* b, int64_t n) {
    vf s = set(0);
    for_vectors(n, [&](int64_t j, auto k) { s = fma(load(a + j, k), load(b + j, k), s); });
    return sum(s);
}

}  // namespace

void attention_cached(Context& c, const so8t_attention_cached_params& p) {
    const AttentionCachedViews a = check(c, p);
    const int64_t D = p.head_dim, group = p.heads / p.kv_heads;
    const float scale = static_cast<float>(p.scale);
    by_compute(a.q.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(p.rows * p.heads, [&](int64_t unit, Worker& w) {
            const int64_t i = unit / p.heads, head = unit % p.heads, kv = head / group;
            const int64_t at = a.position.as<int32_t>()[i], begin = p.window > 0 ? std::max<int64_t>(0, at + 1 - p.window) : 0, n = at + 1 - begin;
            const int64_t own = a.slot.as<int32_t>()[i];
            float* query = w.take<float>(D);
            float* sums = w.take<float>(D);
            float* scores = w.take<float>(n);
            for_vectors(D, [&](int64_t d, auto k) {
                store(query + d, load(a.q.row<T>(i) + head * D + d, k) * set(scale), k);
                store(sums + d, set(0), k);
            });
            float most = -std::numeric_limits<float>::infinity();
            for (int64_t j = 0; j < n; j++) {
                scores[j] = dot(query, a.cache_k.row<T>(a.pages.row(own, begin + j)) + kv * D, D);
                most = std::max(most, scores[j]);
            }
            vf totals = set(0);
            for_vectors(n, [&](int64_t j, auto k) { store(scores + j, exp(load(scores + j, k) - set(most)), k); });
            for_vectors(n, [&](int64_t j, auto k) { totals = totals + load(scores + j, k); });
            for (int64_t j = 0; j < n; j++) {
                const vf weight = set(scores[j]);
                const T* v = a.cache_v.row<T>(a.pages.row(own, begin + j)) + kv * D;
                for_vectors(D, [&](int64_t d, auto k) { store(sums + d, fma(weight, load(v + d, k), load(sums + d, k)), k); });
            }
            const vf inverse = set(1.0f / sum(totals));
            for_vectors(D, [&](int64_t d, auto k) { store(a.out.row<T>(i) + head * D + d, load(sums + d, k) * inverse, k); });
        });
    });
}

}  // namespace so8t::SO8T_ISA
