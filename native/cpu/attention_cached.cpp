// out = softmax(scale q k^T) v for one query a row, over the keys and values in its slot of the cache.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "attention.h"
#include "checks/attention.h"
#include "dots.h"

namespace so8t::SO8T_ISA {

namespace {

// One query's view of the cache: positions [begin, begin + n) of its slot.
struct Past {
    const Pages* pages;
    int64_t slot, begin, n;

    // f(j, row, count, room) for each stretch of positions begin + j ... in one page: `count` of them from a row of the cache on,
    // and `room` rows to the page's end.
    template <class F>
    void stretches(F&& f) const {
        for (int64_t j = 0; j < n;) {
            const int64_t room = pages->size - (begin + j) % pages->size, count = std::min(room, n - j);
            f(j, pages->row(slot, begin + j), count, room);
            j += count;
        }
    }
};

// N vectors of out = (sum_j weight_j v_j) * scale, v from `values` on in the cache's rows.
template <int N, class T>
void weighted(const Past& past, const float* weight, const T* values, int64_t stride, vf scale, T* out) {
    vf sums[N];
    for (vf& s : sums) s = set(0);
    past.stretches([&](int64_t j, int64_t row, int64_t count, int64_t) {
        const T* v = values + row * stride;
        for (int64_t i = 0; i < count; i++, v += stride) {
            for (int k = 0; k < N; k++) sums[k] = fma(set(weight[j + i]), load(v + k * W), sums[k]);
        }
    });
    for (int k = 0; k < N; k++) store(out + k * W, sums[k] * scale);
}

template <class T>
void weighted(const Past& past, const float* weight, const T* values, int64_t stride, int64_t head_dim, vf scale, T* out) {
    int64_t d = 0;
    const auto whole = [&](auto vectors) {
        constexpr int N = decltype(vectors)::value;
        for (; d + N * W <= head_dim; d += N * W) weighted<N>(past, weight, values + d, stride, scale, out + d);
    };
    whole(std::integral_constant<int, 8>{});
    whole(std::integral_constant<int, 6>{});
    whole(std::integral_constant<int, 4>{});
    whole(std::integral_constant<int, 2>{});
    whole(std::integral_constant<int, 1>{});
    if (d == head_dim) return;
    const int64_t left = head_dim - d;
    vf sum = set(0);
    past.stretches([&](int64_t j, int64_t row, int64_t count, int64_t) {
        for (int64_t i = 0; i < count; i++) sum = fma(set(weight[j + i]), load(values + d + (row + i) * stride, left), sum);
    });
    store(out + d, sum * scale, left);
}

// scores = e^(scale scores - their largest); returns their sum. n is rounded up to whole vectors.
float softmax(float* scores, int64_t n, vf scale) {
    const int64_t whole = round_up(n, W);
    std::fill(scores + n, scores + whole, -std::numeric_limits<float>::infinity());
    vf most = set(-std::numeric_limits<float>::infinity()), total = set(0);
    for (int64_t j = 0; j < whole; j += W) most = max(most, load(scores + j) * scale);
    const vf top = set(largest(most));
    for (int64_t j = 0; j < whole; j += W) {
        const vf e = exp(load(scores + j) * scale - top);
        total = total + e;
        store(scores + j, e);
    }
    return sum(total);
}

}  // namespace

void attention_cached(Context& c, const so8t_attention_cached_params& p) {
    const AttentionCachedViews a = check(c, p);
    const int64_t D = p.head_dim, group = p.heads / p.kv_heads;
    const vf scale = set(static_cast<float>(p.scale));
    by_compute(a.q.dtype, [&](auto tag) {
        using T = decltype(tag);
        using E = Multiplied<T>;
        c.parallel(p.rows * p.heads, [&](int64_t unit, Worker& w) {
            const int64_t i = unit / p.heads, head = unit % p.heads, kv = head / group, at = a.position.as<int32_t>()[i];
            const int64_t begin = p.window > 0 ? std::max<int64_t>(0, at + 1 - p.window) : 0, n = at + 1 - begin;
            const Past past{&a.pages, a.slot.as<int32_t>()[i], begin, n};
            const T* query = a.q.row<T>(i) + head * D;
            E* q = w.take<E>(D);
            along<E>(D, [&](int64_t d, auto k) { Vector<E>::store(q + d, Vector<E>::load(query + d, k), k); });
            float* scores = w.take<float>(round_up(n, W) + W);
            past.stretches([&](int64_t j, int64_t row, int64_t count, int64_t room) {
                // Whole blocks, also where the page's rest is empty: what its keys score is overwritten.
                const Rows<T> keys{a.cache_k.row<T>(row) + kv * D, a.cache_k.stride};
                outputs<E, W, 1>(keys, std::min(round_up(count, W), room), Rows<E>{q, D}, D, Result{scores + j, n, nullptr, false});
            });
            const float total = softmax(scores, n, scale);
            weighted<T>(past, scores, a.cache_v.row<T>(0) + kv * D, a.cache_v.stride, D, set(1.0f / total), a.out.row<T>(i) + head * D);
        });
    });
}

}  // namespace so8t::SO8T_ISA
