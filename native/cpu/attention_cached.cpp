// One new query a row against the keys and values that its slot holds: out = softmax(scale q k^T) v.
#include <algorithm>
#include <cmath>
#include <limits>

#include "attention.h"
#include "pages.h"

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
    check_size("rows", p.rows);
    check_size("heads", p.heads, 1);
    check_size("kv_heads", p.kv_heads, 1);
    check_size("head_dim", p.head_dim, 1);
    check_size("window", p.window);
    if (p.heads % p.kv_heads != 0) fail("%lld heads do not divide among %lld key heads", static_cast<long long>(p.heads), static_cast<long long>(p.kv_heads));
    const int64_t D = p.head_dim, width = p.heads * D, kv_width = p.kv_heads * D, group = p.heads / p.kv_heads;
    const View q = c.matrix(p.q, "q", p.rows, width, kCompute);
    const Pages pages = pages_of(c, p);
    const View cache_k = c.matrix(p.cache_k, "cache_k", p.page_count * p.page_size, kv_width, only(q.dtype));
    const View cache_v = c.matrix(p.cache_v, "cache_v", p.page_count * p.page_size, kv_width, only(q.dtype));
    const View slot = c.vector(p.slot, "slot", p.rows, kI32), position = c.vector(p.position, "position", p.rows, kI32);
    const View out = c.matrix(p.out, "out", p.rows, width, only(q.dtype));
    check_range(slot, "slot", p.rows, 0, p.slots);
    check_range(position, "position", p.rows, 0, p.capacity);
    const float scale = static_cast<float>(p.scale);
    by_compute(q.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(p.rows * p.heads, [&](int64_t unit, Worker& w) {
            const int64_t i = unit / p.heads, head = unit % p.heads, kv = head / group;
            const int64_t at = position.as<int32_t>()[i], begin = p.window > 0 ? std::max<int64_t>(0, at + 1 - p.window) : 0, n = at + 1 - begin;
            const int64_t own = slot.as<int32_t>()[i];
            float* query = w.take<float>(D);
            float* sums = w.take<float>(D);
            float* scores = w.take<float>(n);
            for_vectors(D, [&](int64_t d, auto k) {
                store(query + d, load(q.row<T>(i) + head * D + d, k) * set(scale), k);
                store(sums + d, set(0), k);
            });
            float most = -std::numeric_limits<float>::infinity();
            for (int64_t j = 0; j < n; j++) {
                scores[j] = dot(query, cache_k.row<T>(pages.row(own, begin + j)) + kv * D, D);
                most = std::max(most, scores[j]);
            }
            vf totals = set(0);
            for_vectors(n, [&](int64_t j, auto k) { store(scores + j, exp(load(scores + j, k) - set(most)), k); });
            for_vectors(n, [&](int64_t j, auto k) { totals = totals + load(scores + j, k); });
            for (int64_t j = 0; j < n; j++) {
                const vf weight = set(scores[j]);
                const T* v = cache_v.row<T>(pages.row(own, begin + j)) + kv * D;
                for_vectors(D, [&](int64_t d, auto k) { store(sums + d, fma(weight, load(v + d, k), load(sums + d, k)), k); });
            }
            const vf inverse = set(1.0f / sum(totals));
            for_vectors(D, [&](int64_t d, auto k) { store(out.row<T>(i) + head * D + d, load(sums + d, k) * inverse, k); });
        });
    });
}

}  // namespace so8t::SO8T_ISA
