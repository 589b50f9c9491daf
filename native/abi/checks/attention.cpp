#include "checks/attention.h"

#include "context.h"

namespace so8t {

namespace {

template <class P>
void check_heads(const P& p) {
    check_size("heads", p.heads, 1);
    check_size("kv_heads", p.kv_heads, 1);
    check_size("head_dim", p.head_dim, 1);
    check_size("window", p.window);
    if (p.heads % p.kv_heads != 0) fail("%lld heads do not divide among %lld key heads", static_cast<long long>(p.heads), static_cast<long long>(p.kv_heads));
    if (p.head_dim > kMostHeadDim) fail("head_dim is %lld, at most %lld", static_cast<long long>(p.head_dim), static_cast<long long>(kMostHeadDim));
}

// What forward and backward share.
template <class V, class P>
V packed(Context& c, const P& p) {
    check_size("rows", p.rows);
    check_size("sequences", p.sequences);
    check_heads(p);
    check_size("longest", p.longest);
    if (p.longest > p.rows) fail("longest is %lld, rows is %lld", static_cast<long long>(p.longest), static_cast<long long>(p.rows));
    const int64_t width = p.heads * p.head_dim, kv_width = p.kv_heads * p.head_dim;
    V v;
    v.q = c.matrix(p.q, "q", p.rows, width, kCompute);
    v.k = c.matrix(p.k, "k", p.rows, kv_width, only(v.q.dtype));
    v.v = c.matrix(p.v, "v", p.rows, kv_width, only(v.q.dtype));
    v.cu_seqlens = c.vector(p.cu_seqlens, "cu_seqlens", p.sequences + 1, kI32);
    v.out = c.matrix(p.out, "out", p.rows, width, only(v.q.dtype));
    v.lse = c.matrix(p.lse, "lse", p.heads, p.rows, kF32);
    return v;
}

// What both operations on a cache share: width is that of its rows.
template <class V, class P>
void cached(Context& c, const P& p, int64_t width, int32_t dtype, V& v) {
    check_size("slots", p.slots);
    check_size("capacity", p.capacity);
    check_size("page_size", p.page_size, 1);
    check_size("page_count", p.page_count);
    if (p.capacity % p.page_size != 0) {
        fail("capacity %lld is no multiple of page_size %lld", static_cast<long long>(p.capacity), static_cast<long long>(p.page_size));
    }
    const int64_t per_slot = p.capacity / p.page_size;
    const View table = c.vector(p.pages, "pages", p.slots * per_slot, kI32);
    v.pages = {table.template as<int32_t>(), p.slots, p.capacity, per_slot, p.page_size, p.page_count};
    v.cache_k = c.matrix(p.cache_k, "cache_k", p.page_count * p.page_size, width, only(dtype));
    v.cache_v = c.matrix(p.cache_v, "cache_v", p.page_count * p.page_size, width, only(dtype));
    v.slot = c.vector(p.slot, "slot", p.rows, kI32);
    v.position = c.vector(p.position, "position", p.rows, kI32);
    check_range(c, table, "pages", p.slots * per_slot, 0, p.page_count);
    check_range(c, v.slot, "slot", p.rows, 0, p.slots);
    check_range(c, v.position, "position", p.rows, 0, p.capacity);
}

template <class P>
void check_sequences(Context& c, const View& cu_seqlens, const P& p) {
    check_boundaries(c, cu_seqlens, "cu_seqlens", p.sequences, p.rows);
    if (p.longest > 0) check_longest(c, cu_seqlens, "cu_seqlens", p.sequences, p.longest);
}

}  // namespace

AttentionForwardViews check(Context& c, const so8t_attention_forward_params& p) {
    const auto v = packed<AttentionForwardViews>(c, p);
    check_sequences(c, v.cu_seqlens, p);
    return v;
}

AttentionBackwardViews check(Context& c, const so8t_attention_backward_params& p) {
    auto v = packed<AttentionBackwardViews>(c, p);
    const unsigned same = only(v.q.dtype);
    v.dout = c.matrix(p.dout, "dout", p.rows, p.heads * p.head_dim, same);
    v.dq = c.matrix(p.dq, "dq", p.rows, p.heads * p.head_dim, same);
    v.dk = c.matrix(p.dk, "dk", p.rows, p.kv_heads * p.head_dim, same);
    v.dv = c.matrix(p.dv, "dv", p.rows, p.kv_heads * p.head_dim, same);
    check_sequences(c, v.cu_seqlens, p);
    return v;
}

KVStoreViews check(Context& c, const so8t_kv_store_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    KVStoreViews v;
    v.k = c.matrix(p.k, "k", p.rows, p.columns, kCompute);
    v.v = c.matrix(p.v, "v", p.rows, p.columns, only(v.k.dtype));
    cached(c, p, p.columns, v.k.dtype, v);
    return v;
}

AttentionCachedViews check(Context& c, const so8t_attention_cached_params& p) {
    check_size("rows", p.rows);
    check_heads(p);
    AttentionCachedViews v;
    v.q = c.matrix(p.q, "q", p.rows, p.heads * p.head_dim, kCompute);
    v.out = c.matrix(p.out, "out", p.rows, p.heads * p.head_dim, only(v.q.dtype));
    cached(c, p, p.kv_heads * p.head_dim, v.q.dtype, v);
    return v;
}

}  // namespace so8t
