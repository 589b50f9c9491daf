// cuBLASLt on the CPU: column-major matrices, types, transpositions, leading dimensions, strided batches, a separate or the same
// C and D, workspace, alignment. As on a GPU a product has several algorithms, whose sums' order and so whose bits differ; each
// is refused at some shapes, and fails on operands that are not aligned as it was told.
#include "cublaslt.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "cuda_runtime.h"
#include "device.h"
#include "so8t.h"

using so8t::bf16;
using namespace so8t::cublaslt;

namespace so8t::cublaslt {

struct DescOpaque {
    int op_a = kOpN, op_b = kOpN;
};
struct LayoutOpaque {
    int type;
    int64_t rows, columns, ld;
    int32_t batch = 1;
    int64_t stride = 0;
    bool operator==(const LayoutOpaque& o) const {
        return type == o.type && rows == o.rows && columns == o.columns && ld == o.ld && batch == o.batch && stride == o.stride;
    }
};
struct PreferenceOpaque {
    uint64_t workspace = 0;
    uint32_t reduction = ~0u;
    uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D
};

}  // namespace so8t::cublaslt

namespace {

enum { kSuccess = 0, kInvalidValue = 7, kExecutionFailed = 13, kNotSupported = 15 };

// How an algorithm sums: over `splits` parts of k, each by itself into the workspace, each in chunks of so many.
struct Order {
    int64_t splits, chunk;
};
constexpr Order kOrders[] = {{1, 16}, {1, INT64_MAX}, {2, INT64_MAX}, {4, 32}};
constexpr int kAlgorithms = sizeof kOrders / sizeof *kOrders;
constexpr int64_t kPanel = 64;  // rows of D that are summed side by side

constexpr uint64_t kMark = 0xE301A7ED;  // data[0] of an algorithm; then its order, the bytes that addresses are a multiple of
Algo algo_of(int order, uint64_t alignment) { return {{kMark, static_cast<uint64_t>(order), alignment}}; }
bool known(const Algo& a) { return a.data[0] == kMark && a.data[1] < kAlgorithms; }

int64_t bytes_of(int type) { return type == kR32F ? 4 : 2; }

// One kind of product: op(A) op(B), [m, k] by [k, n].
struct Shape {
    const DescOpaque& desc;
    const LayoutOpaque &a, &b, &c, &d;
    int64_t m, n, k;

    Shape(Desc desc, Layout a, Layout b, Layout c, Layout d)
        : desc(*desc), a(*a), b(*b), c(*c), d(*d), m(d->rows), n(d->columns), k(desc->op_a == kOpN ? a->columns : a->rows) {}
    bool valid() const {
        const auto is = [](const LayoutOpaque& x, bool turned, int64_t rows, int64_t columns) {
            return x.rows == (turned ? columns : rows) && x.columns == (turned ? rows : columns) && x.ld >= x.rows;
        };
        return is(a, desc.op_a == kOpT, m, k) && is(b, desc.op_b == kOpT, k, n) && is(c, false, m, n) && is(d, false, m, n) && a.type == b.type &&
               c.type == d.type && a.batch == d.batch && b.batch == d.batch && c.batch == d.batch && m > 0 && n > 0 && k > 0;
    }
    uint64_t workspace(int order) const { return kOrders[order].splits > 1 ? static_cast<uint64_t>(kOrders[order].splits * m * n * 4) : 0; }
    // Refusals depend on the exact n: products that share a choice differ in it.
    bool refuses(int order) const { return kOrders[order].splits > k || (order > 0 && n > 16 && (n + 7 * order) % 11 == 0); }
    // A model of the time, whose best algorithm does not depend on n, but on where A's columns begin.
    double microseconds(int order) const {
        const uint64_t hash = static_cast<uint64_t>((m + 257 * a.ld) * 16 + order * 4 + desc.op_a * 2 + desc.op_b) * 0x9E3779B97F4A7C15u >> 40;
        return (3 + 2e-6 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) * static_cast<double>(d.batch)) *
               (1 + static_cast<double>(hash) / (1 << 25));
    }
};

// float32 of op(X), [outer][k][width] with zeros behind the last of `count`: rows of A or columns of B side by side.
void widen(const void* from, const LayoutOpaque& x, bool count_is_contiguous, int64_t count, int64_t k, int64_t width, std::vector<float>& to) {
    to.assign(static_cast<size_t>((count + width - 1) / width * width * k), 0.0f);
    const auto copy = [&](auto* p) {
        for (int64_t i = 0; i < count; i++) {
            float* row = &to[static_cast<size_t>(i / width * width * k + i % width)];
            const auto* column = p + (count_is_contiguous ? i : i * x.ld);
            const int64_t step = count_is_contiguous ? x.ld : 1;
            for (int64_t l = 0; l < k; l++) row[l * width] = so8t::cuda::to_float(column[l * step]);
        }
    };
    if (x.type == kR32F) {
        copy(static_cast<const float*>(from));
    } else {
        copy(static_cast<const bf16*>(from));
    }
}

// sums[0, kPanel) = panel b, over [begin, end) of k.
void add_up(const float* panel, const float* b, int64_t begin, int64_t end, int64_t chunk, float* sums) {
    std::fill_n(sums, kPanel, 0.0f);
    for (int64_t at = begin; at < end;) {
        const int64_t stop = chunk < end - at ? at + chunk : end;
        float part[kPanel] = {};
        for (; at < stop; at++) {
            const float y = b[at];
            for (int64_t i = 0; i < kPanel; i++) part[i] += panel[at * kPanel + i] * y;
        }
        for (int64_t i = 0; i < kPanel; i++) sums[i] += part[i];
    }
}

float value(const void* p, int64_t i, int type) {
    return type == kR32F ? static_cast<const float*>(p)[i] : so8t::cuda::to_float(static_cast<const bf16*>(p)[i]);
}

const char* moved(const void* p, int64_t elements, int type) { return static_cast<const char*>(p) + elements * bytes_of(type); }

struct Call {
    float alpha, beta;
    const void *a, *b, *c;
    void* d;
    int order;
    void* workspace;
};

}  // namespace

namespace so8t::cublaslt {

// Tries of a product repeat it on the same operands: what was computed is kept until the stream does anything else.
struct HandleOpaque {
    std::vector<float> a, b;
    std::vector<float> sums[kAlgorithms];  // [n][m] of each batch
    const void *a_at = nullptr, *b_at = nullptr;
    LayoutOpaque a_layout{}, b_layout{};
    DescOpaque desc;
    uint64_t operations = 0;

    const std::vector<float>& product(const Shape& s, const Call& call, uint64_t now) {
        if (call.a != a_at || call.b != b_at || !(s.a == a_layout) || !(s.b == b_layout) || s.desc.op_a != desc.op_a || s.desc.op_b != desc.op_b ||
            now != operations) {
            for (auto& x : sums) x.clear();
            a_at = call.a, b_at = call.b, a_layout = s.a, b_layout = s.b, desc = s.desc, operations = now;
        }
        std::vector<float>& all = sums[call.order];
        if (!all.empty()) return all;
        all.resize(static_cast<size_t>(s.d.batch * s.n * s.m));
        for (int64_t i = 0; i < s.d.batch; i++) {
            widen(moved(call.a, i * s.a.stride, s.a.type), s.a, s.desc.op_a == kOpN, s.m, s.k, kPanel, a);
            widen(moved(call.b, i * s.b.stride, s.b.type), s.b, s.desc.op_b == kOpT, s.n, s.k, 1, b);
            sum(s, call, &all[static_cast<size_t>(i * s.n * s.m)]);
        }
        return all;
    }

    void sum(const Shape& s, const Call& call, float* to) const {
        const Order order = kOrders[call.order];
        float sums[kPanel];
        for (int64_t part = 0; part < order.splits; part++) {
            float* parts = order.splits > 1 ? static_cast<float*>(call.workspace) + part * s.m * s.n : to;
            for (int64_t j = 0; j < s.n; j++) {
                for (int64_t i = 0; i < s.m; i += kPanel) {
                    add_up(&a[static_cast<size_t>(i * s.k)], &b[static_cast<size_t>(j * s.k)], s.k * part / order.splits, s.k * (part + 1) / order.splits,
                           order.chunk, sums);
                    std::copy_n(sums, std::min(kPanel, s.m - i), parts + j * s.m + i);
                }
            }
        }
        for (int64_t part = 0; part < order.splits && order.splits > 1; part++) {
            const float* parts = static_cast<const float*>(call.workspace) + part * s.m * s.n;
            for (int64_t i = 0; i < s.m * s.n; i++) to[i] = part == 0 ? parts[i] : to[i] + parts[i];
        }
    }
};

// D = alpha sums + beta C. Without beta C is not read.
static void store(const Shape& s, const Call& call, const std::vector<float>& sums) {
    size_t at = 0;
    for (int64_t batch = 0; batch < s.d.batch; batch++) {
        for (int64_t j = 0; j < s.n; j++) {
            const int64_t c = batch * s.c.stride + j * s.c.ld, d = batch * s.d.stride + j * s.d.ld;
            for (int64_t i = 0; i < s.m; i++, at++) {
                float y = call.alpha * sums[at];
                if (call.beta != 0) y += call.beta * value(call.c, c + i, s.c.type);
                if (s.d.type == kR32F) {
                    static_cast<float*>(call.d)[d + i] = y;
                } else {
                    so8t::cuda::from_float(y, static_cast<bf16*>(call.d)[d + i]);
                }
            }
        }
    }
}

int emulated_Create(Handle* h) {
    *h = new HandleOpaque;
    return kSuccess;
}
int emulated_Destroy(Handle h) {
    delete h;
    return kSuccess;
}
size_t emulated_GetVersion() { return 130000; }

int emulated_MatmulDescCreate(Desc* d, int compute, int scale) {
    if (compute != kCompute32F || scale != kR32F) return kInvalidValue;
    *d = new DescOpaque;
    return kSuccess;
}
int emulated_MatmulDescDestroy(Desc d) {
    delete d;
    return kSuccess;
}

template <class T>
static int set(T& to, const void* from, size_t bytes, bool (*allowed)(T) = nullptr) {
    T value;
    if (bytes != sizeof value) return kInvalidValue;
    std::memcpy(&value, from, sizeof value);
    if (allowed && !allowed(value)) return kInvalidValue;
    to = value;
    return kSuccess;
}

int emulated_MatmulDescSetAttribute(Desc d, int attribute, const void* from, size_t bytes) {
    const auto is_op = [](int op) { return op == kOpN || op == kOpT; };
    switch (attribute) {
        case kDescTransA: return set<int>(d->op_a, from, bytes, is_op);
        case kDescTransB: return set<int>(d->op_b, from, bytes, is_op);
        default: return kInvalidValue;
    }
}
int emulated_MatrixLayoutCreate(Layout* l, int type, uint64_t rows, uint64_t columns, int64_t ld) {
    if (type != kR32F && type != kR16BF) return kInvalidValue;
    *l = new LayoutOpaque{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), ld};
    return kSuccess;
}
int emulated_MatrixLayoutSetAttribute(Layout l, int attribute, const void* from, size_t bytes) {
    switch (attribute) {
        case kLayoutBatchCount: return set<int32_t>(l->batch, from, bytes, [](int32_t n) { return n > 0; });
        case kLayoutStridedBatchOffset: return set(l->stride, from, bytes);
        default: return kInvalidValue;
    }
}
int emulated_MatrixLayoutDestroy(Layout l) {
    delete l;
    return kSuccess;
}
int emulated_MatmulPreferenceCreate(Preference* p) {
    *p = new PreferenceOpaque;
    return kSuccess;
}
int emulated_MatmulPreferenceDestroy(Preference p) {
    delete p;
    return kSuccess;
}
int emulated_MatmulPreferenceSetAttribute(Preference p, int attribute, const void* from, size_t bytes) {
    switch (attribute) {
        case kPreferMaxWorkspace: return set(p->workspace, from, bytes);
        case kPreferReductionMask: return set(p->reduction, from, bytes);
        case kPreferAlignA:
        case kPreferAlignB:
        case kPreferAlignC:
        case kPreferAlignD: return set<uint32_t>(p->alignment[attribute - kPreferAlignA], from, bytes, [](uint32_t n) { return n > 0 && (n & (n - 1)) == 0; });
        default: return kInvalidValue;
    }
}

static std::atomic<int64_t> asked{0};
extern "C" SO8T_API int64_t so8t_emulated_heuristics() { return asked; }  // how often it was called, for tests

int emulated_MatmulAlgoGetHeuristic(Handle, Desc desc, Layout a, Layout b, Layout c, Layout d, Preference p, int wanted, Heuristic* all, int* got) {
    const Shape s(desc, a, b, c, d);
    asked++;
    *got = 0;
    if (!s.valid() || wanted < 1) return kInvalidValue;
    uint64_t alignment = 16;
    for (int i = 0; i < 4; i++) alignment = std::min<uint64_t>(alignment, p->alignment[i]);
    if (alignment < static_cast<uint64_t>(bytes_of(s.a.type))) return kNotSupported;
    for (int i = 0; i < kAlgorithms && *got < wanted; i++) {
        const int order = static_cast<int>((i + s.m) % kAlgorithms);  // not always the same first
        if (s.refuses(order) || s.workspace(order) > p->workspace || (kOrders[order].splits > 1 && !(p->reduction & kReductionComputeType))) continue;
        all[(*got)++] = {algo_of(order, alignment), s.workspace(order), 0, 1, {}};
    }
    return *got > 0 ? kSuccess : kNotSupported;
}

int emulated_MatmulAlgoCheck(Handle, Desc desc, Layout a, Layout b, Layout c, Layout d, const Algo* algo, Heuristic* h) {
    const Shape s(desc, a, b, c, d);
    if (!s.valid() || !known(*algo)) return kInvalidValue;
    const int order = static_cast<int>(algo->data[1]);
    if (s.refuses(order)) return kNotSupported;
    *h = {*algo, s.workspace(order), 0, 1, {}};
    return kSuccess;
}

int emulated_Matmul(Handle h, Desc desc, const void* alpha, const void* a, Layout la, const void* b, Layout lb, const void* beta, const void* c, Layout lc,
                    void* d, Layout ld, const Algo* algo, void* workspace, size_t workspace_bytes, void* stream) {
    const Shape s(desc, la, lb, lc, ld);
    if (!s.valid() || !known(*algo) || (c == d && !(s.c == s.d))) return kInvalidValue;
    const int order = static_cast<int>(algo->data[1]);
    if (s.refuses(order)) return kNotSupported;
    if (s.workspace(order) > workspace_bytes || reinterpret_cast<uintptr_t>(workspace) % 256) return kInvalidValue;
    for (const void* address : {a, b, c, static_cast<const void*>(d)}) {
        if (reinterpret_cast<uintptr_t>(address) % algo->data[2]) return kExecutionFailed;
    }
    if (emulated::lost_at_this_launch()) return kExecutionFailed;
    const Call call{*static_cast<const float*>(alpha), *static_cast<const float*>(beta), a, b, c, d, order, workspace};
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    store(s, call, h->product(s, call, emulated::operations(on)));
    emulated::pass_time(on, s.microseconds(order));
    return kSuccess;
}

}  // namespace so8t::cublaslt
