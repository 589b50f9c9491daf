// Attention and the cache of keys and values: a call's parameters become checked views.
#pragma once

#include "buffers.h"
#include "pages.h"

namespace so8t {

struct Context;

struct AttentionForwardViews {
    View q, k, v, cu_seqlens, out, lse;
};
struct AttentionBackwardViews {
    View q, k, v, cu_seqlens, out, lse, dout, dq, dk, dv;
};
struct KVStoreViews {
    Pages pages;
    View k, v, cache_k, cache_v, slot, position;
};
struct AttentionCachedViews {
    Pages pages;
    View q, cache_k, cache_v, slot, position, out;
};

AttentionForwardViews check(Context& c, const so8t_attention_forward_params& p);
AttentionBackwardViews check(Context& c, const so8t_attention_backward_params& p);
KVStoreViews check(Context& c, const so8t_kv_store_params& p);
AttentionCachedViews check(Context& c, const so8t_attention_cached_params& p);

}  // namespace so8t
