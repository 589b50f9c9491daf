// out = softmax(scale q k^T) v, causal, within each sequence, and its derivatives, as attention_forward.cu and
// attention_backward.cu have them, in the form that cuDNN's engines for attention recognize: NVIDIA's cudnn-frontend builds
// the same operations (node/scaled_dot_product_flash_attention.h, version 1.32).
// Reference: TestCuDNNAttention in native/cudnn_test.go, on emulated/cudnn.cpp, which runs any graph.
#include "cudnn_sdpa.h"

namespace so8t::cudnn {

namespace {

struct Builder {
    Graph& g;
    const Sdpa& s;
    Operands t;

    Four scores() const { return {s.batch, s.heads, s.length, s.length}; }
    Four packed(const Four& dims) const { return {dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1}; }

    int64_t offsets(Operand o) {
        if (t.offsets[o] == 0) t.offsets[o] = g.tensor(kInt32, {s.batch + 1, 1, 1, 1}, {1, 1, 1, 1});
        return t.offsets[o];
    }
    // Heads of a packed matrix; turned: its last two dimensions exchanged.
    int64_t rows(Operand o, int64_t heads, int64_t stride, bool turned = false) {
        Four dims{s.batch, heads, s.length, s.head_dim}, strides{s.length * stride, s.head_dim, stride, 1};
        if (turned) {
            std::swap(dims[2], dims[3]);
            std::swap(strides[2], strides[3]);
        }
        return t.operand[o] = g.tensor(kBfloat16, dims, strides, offsets(o));
    }
    // A float32 for each row and head, [rows, heads].
    int64_t statistics() { return g.tensor(kFloat, {s.batch, s.heads, s.length, 1}, {s.length * s.heads, 1, s.heads, 1}, offsets(kLse)); }
    void numbers() {
        t.lengths = g.tensor(kInt32, {s.batch, 1, 1, 1}, {1, 1, 1, 1});
        t.scale = g.number();
        t.nothing = g.number();
        if (s.window > 0) t.window = g.number();
    }

    int64_t inner(const Four& dims, int type = kFloat) { return g.inner(type, dims, packed(dims)); }
    int64_t pointwise(int mode, const Four& dims, int64_t x, int64_t b = 0, int64_t c = 0, int64_t axis = -1, int type = kFloat, int precision = kFloat) {
        const int64_t y = inner(dims, type);
        g.pointwise(mode, precision, y, x, b, c, axis);
        return y;
    }
    int64_t index(int64_t x, int64_t axis) { return pointwise(kIndex, scores(), x, 0, 0, axis, kInt32, kInt32); }
    int64_t compare(int mode, int64_t x, int64_t b) { return pointwise(mode, scores(), x, b, 0, -1, kBoolean, kBoolean); }
    int64_t where(int64_t seen, int64_t x) { return pointwise(kSelect, scores(), x, t.nothing, seen); }
    int64_t matmul(int64_t a, int64_t b, const Four& dims, int64_t m, int64_t n, int64_t k) {
        const int64_t c = inner(dims);
        g.matmul(a, b, c, m, n, k);
        return c;
    }
    // x turned and rounded: the left operand of a product over queries.
    int64_t turned(int64_t x) {
        const int64_t y = g.inner(kBfloat16, scores(), {s.heads * s.length * s.length, s.length * s.length, 1, s.length});
        g.reshape(y, x);
        return y;
    }

    // x where both query and key are within the sequence. The causal mask does as much; engines know packed sequences by this one.
    int64_t within(int64_t x) {
        const int64_t row = index(x, 2), column = index(x, 3);
        const int64_t query = compare(kLess, row, t.lengths), key = compare(kLess, column, t.lengths);
        return where(compare(kAnd, query, key), x);
    }
    // x where the query at `row` sees the key at `column`: row >= column, and column + window > row
    int64_t seen(int64_t x) {
        x = where(compare(kGreaterEqual, index(x, 2), index(x, 3)), x);
        if (s.window <= 0) return x;
        const int64_t row = index(x, 2), column = index(x, 3);
        return where(compare(kGreater, pointwise(kAdd, scores(), column, t.window), row), x);
    }
    int64_t scaled_scores() { return pointwise(kMul, scores(), matmul(t.operand[kQ], t.operand[kK], scores(), t.lengths, t.lengths, 0), t.scale); }

    // y = a b for each query head; heads that share a key head are added up.
    void product_of_heads(int64_t a, int64_t b, int64_t y) {
        if (s.heads == s.kv_heads) {
            g.matmul(a, b, y, t.lengths, 0, t.lengths);
            return;
        }
        const int64_t each = inner({s.batch, s.heads, s.length, s.head_dim}, kBfloat16);
        g.matmul(a, b, each, t.lengths, 0, t.lengths);
        g.reduce(kSum, y, each);
    }
};

}  // namespace

Operands build_forward(Graph& g, const Sdpa& s) {
    Builder b{g, s, {}};
    Operands& t = b.t;
    b.rows(kQ, s.heads, s.q);
    b.rows(kK, s.kv_heads, s.k, true);
    b.rows(kV, s.kv_heads, s.v);
    b.rows(kOut, s.heads, s.out);
    t.operand[kLse] = b.statistics();
    b.numbers();

    const Four each{s.batch, s.heads, s.length, 1};
    const int64_t scores = b.seen(b.within(b.scaled_scores()));
    const int64_t most = b.inner(each), total = b.inner(each);
    g.reduce(kMax, most, scores);
    const int64_t weights = b.pointwise(kExp, b.scores(), b.pointwise(kSub, b.scores(), scores, most));
    g.reduce(kSum, total, weights);
    g.pointwise(kAdd, kFloat, t.operand[kLse], most, b.pointwise(kLog, each, total));
    const int64_t p = b.pointwise(kDiv, b.scores(), weights, total, 0, -1, kBfloat16);
    g.matmul(p, t.operand[kV], t.operand[kOut], t.lengths, 0, t.lengths);
    return t;
}

Operands build_backward(Graph& g, const Sdpa& s) {
    Builder b{g, s, {}};
    Operands& t = b.t;
    b.rows(kQ, s.heads, s.q);
    b.rows(kK, s.kv_heads, s.k, true);
    b.rows(kV, s.kv_heads, s.v, true);
    b.rows(kOut, s.heads, s.out);
    b.rows(kDout, s.heads, s.dout);
    t.operand[kLse] = b.statistics();
    b.rows(kDq, s.heads, s.dq);
    b.rows(kDk, s.kv_heads, s.dk);
    b.rows(kDv, s.kv_heads, s.dv);
    b.numbers();
    t.one = g.number();
    t.sum = b.statistics();
    const Four rows{s.batch, s.heads, s.length, s.head_dim};
    t.dq_float = g.tensor(kFloat, rows, {s.length * s.dq, s.head_dim, s.dq, 1}, b.offsets(kDq));

    // delta = sum(dout * out)
    const int64_t delta = b.inner({s.batch, s.heads, s.length, 1});
    g.reduce(kSum, delta, b.pointwise(kMul, rows, t.operand[kDout], t.operand[kOut]));
    g.pointwise(kMul, kFloat, t.sum, delta, t.one);
    // P = e^(scale q k^T - lse)
    const int64_t p = b.pointwise(kExp, b.scores(), b.seen(b.within(b.pointwise(kSub, b.scores(), b.scaled_scores(), t.operand[kLse]))));
    b.product_of_heads(b.turned(p), t.operand[kDout], t.operand[kDv]);
    // dS = scale P (dout v^T - delta)
    const int64_t dp = b.matmul(t.operand[kDout], t.operand[kV], b.scores(), t.lengths, t.lengths, 0);
    const int64_t ds = b.pointwise(kMul, b.scores(), b.pointwise(kMul, b.scores(), b.pointwise(kSub, b.scores(), dp, t.sum), p), t.scale);
    b.product_of_heads(b.turned(ds), t.operand[kQ], t.operand[kDk]);
    // dq = dS k, summed in float32
    const int64_t keys = g.inner(kBfloat16, {s.batch, s.kv_heads, s.length, s.head_dim}, {s.length * s.k, s.head_dim, s.k, 1}, b.offsets(kK));
    g.reshape(keys, t.operand[kK]);
    g.matmul(ds, keys, t.dq_float, t.lengths, 0, t.lengths);
    g.pointwise(kIdentity, kFloat, t.operand[kDq], t.dq_float);
    return t;
}

const Engine* ordered_backward(int capability, size_t version) {
    // The engine for Hopper. kStages = 4: blocks of keys add to dq one after another.
    static const Engine hopper{6, {{kTileM, 2}, {kTileN, 1}, {kKernel, 2}, {kStreamK, 0}, {kClusterM, 0}, {kStages, 4}}};
    return capability / 10 == 9 && version >= 92500 ? &hopper : nullptr;
}

}  // namespace so8t::cudnn
