#include "gemm.h"

#include <dnnl.hpp>

#include <cstring>
#include <unordered_map>

#include "buffers.h"

namespace so8t {

namespace {

struct Key {
    int64_t m, n, k, lda, ldb, ldc, flags;
    bool operator==(const Key& o) const { return std::memcmp(this, &o, sizeof o) == 0; }
};

struct KeyHash {
    size_t operator()(const Key& k) const {
        const int64_t* p = &k.m;
        uint64_t h = 0;
        for (int i = 0; i < 7; i++) h = (h ^ static_cast<uint64_t>(p[i])) * 0x9E3779B97F4A7C15u, h ^= h >> 29;
        return h;
    }
};

struct Primitive {
    dnnl::matmul matmul;
    dnnl::memory a, b, c, scratchpad;
    int64_t scratchpad_bytes = 0;
};

// A process has few shapes; one that varies them without end must not fill the memory.
constexpr size_t kMostPrimitives = 4096;

}  // namespace

struct GemmCache::State {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    std::unordered_map<Key, Primitive, KeyHash> primitives;

    Primitive make(const Gemm& g) {
        using Desc = dnnl::memory::desc;
        using Dims = dnnl::memory::dims;
        const auto type = g.dtype == SO8T_BFLOAT16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
        const Desc a({g.m, g.k}, type, g.transpose_a ? Dims{1, g.lda} : Dims{g.lda, 1});
        const Desc b({g.k, g.n}, type, g.transpose_b ? Dims{1, g.ldb} : Dims{g.ldb, 1});
        const Desc c({g.m, g.n}, dnnl::memory::data_type::f32, Dims{g.ldc, 1});
        dnnl::primitive_attr attr;
        attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
        if (g.accumulate) {
            dnnl::post_ops ops;
            ops.append_sum(1.0f);
            attr.set_post_ops(ops);
        }
#if DNNL_VERSION_MAJOR >= 3
        const dnnl::matmul::primitive_desc pd(engine, a, b, c, attr);
#else
        const dnnl::matmul::primitive_desc pd(dnnl::matmul::desc(a, b, c), attr, engine);
#endif
        Primitive p;
        p.matmul = dnnl::matmul(pd);
        p.a = dnnl::memory(a, engine, DNNL_MEMORY_NONE);
        p.b = dnnl::memory(b, engine, DNNL_MEMORY_NONE);
        p.c = dnnl::memory(c, engine, DNNL_MEMORY_NONE);
        p.scratchpad = dnnl::memory(pd.scratchpad_desc(), engine, DNNL_MEMORY_NONE);
        p.scratchpad_bytes = static_cast<int64_t>(pd.scratchpad_desc().get_size());
        return p;
    }

    Primitive primitive(const Gemm& g) {
        try {
            return make(g);
        } catch (const dnnl::error& e) {
            if (e.status == dnnl_out_of_memory) out_of_memory("oneDNN: %s", e.what());
            device_failed("oneDNN: %s (status %d)", e.what(), int(e.status));
        }
    }
};

GemmCache::GemmCache() = default;
GemmCache::~GemmCache() = default;

void GemmCache::run(Worker& w, const Gemm& g) {
    if (!state_) state_.reset(new State);
    const Key key{g.m, g.n, g.k, g.lda, g.ldb, g.ldc, g.dtype | g.transpose_a << 8 | g.transpose_b << 9 | g.accumulate << 10};
    auto it = state_->primitives.find(key);
    if (it == state_->primitives.end()) {
        if (state_->primitives.size() >= kMostPrimitives) state_->primitives.clear();
        it = state_->primitives.emplace(key, state_->primitive(g)).first;
    }
    Primitive& p = it->second;
    // The C calls: the C++ wrappers build a map in every call.
    dnnl_memory_set_data_handle(p.a.get(), const_cast<void*>(g.a));
    dnnl_memory_set_data_handle(p.b.get(), const_cast<void*>(g.b));
    dnnl_memory_set_data_handle(p.c.get(), g.c);
    Worker::Mark mark = w.mark();
    dnnl_exec_arg_t args[4] = {{DNNL_ARG_SRC, p.a.get()}, {DNNL_ARG_WEIGHTS, p.b.get()}, {DNNL_ARG_DST, p.c.get()}, {DNNL_ARG_SCRATCHPAD, p.scratchpad.get()}};
    if (p.scratchpad_bytes) dnnl_memory_set_data_handle(p.scratchpad.get(), w.take<char>(p.scratchpad_bytes));
    const dnnl_status_t status = dnnl_primitive_execute(p.matmul.get(), state_->stream.get(), p.scratchpad_bytes ? 4 : 3, args);
    w.release(mark);
    if (status == dnnl_out_of_memory) out_of_memory("oneDNN: matmul");
    if (status != dnnl_success) device_failed("oneDNN: matmul failed (status %d)", int(status));
}

namespace {

// Without bfloat16 instructions oneDNN emulates or refuses: multiply in float32 instead. The conversion is exact.
const float* widen(Worker& w, const void* source, int64_t rows, int64_t columns, int64_t ld) {
    const uint16_t* s = static_cast<const uint16_t*>(source);
    float* d = w.take<float>(rows * columns);
    for (int64_t i = 0; i < rows; i++) {
        uint32_t* row = reinterpret_cast<uint32_t*>(d + i * columns);
        for (int64_t j = 0; j < columns; j++) row[j] = static_cast<uint32_t>(s[i * ld + j]) << 16;
    }
    return d;
}

// oneDNN's fast matmul needs matrices without gaps between their rows; the other is half as fast.
const void* dense(Worker& w, const void* source, int64_t rows, int64_t columns, int64_t& ld) {
    if (ld == columns || rows == 1) return source;
    const size_t size = sizeof(uint16_t);
    char* d = w.take<char>(rows * columns * static_cast<int64_t>(size));
    for (int64_t i = 0; i < rows; i++) {
        std::memcpy(d + static_cast<size_t>(i * columns) * size, static_cast<const char*>(source) + static_cast<size_t>(i * ld) * size,
                    static_cast<size_t>(columns) * size);
    }
    ld = columns;
    return d;
}

}  // namespace

void gemm(Worker& w, const Gemm& g) {
    if (g.m <= 0 || g.n <= 0) return;
    if (g.dtype == SO8T_BFLOAT16 && w.native_bf16) {
        Worker::Mark mark = w.mark();
        Gemm d = g;
        d.a = g.transpose_a ? dense(w, g.a, g.k, g.m, d.lda) : dense(w, g.a, g.m, g.k, d.lda);
        d.b = g.transpose_b ? dense(w, g.b, g.n, g.k, d.ldb) : dense(w, g.b, g.k, g.n, d.ldb);
        w.gemms->run(w, d);
        w.release(mark);
        return;
    }
    if (g.dtype == SO8T_BFLOAT16 && !w.native_bf16) {
        Worker::Mark mark = w.mark();
        Gemm f = g;
        f.dtype = SO8T_FLOAT32;
        f.a = g.transpose_a ? widen(w, g.a, g.k, g.m, g.lda) : widen(w, g.a, g.m, g.k, g.lda);
        f.lda = g.transpose_a ? g.m : g.k;
        f.b = g.transpose_b ? widen(w, g.b, g.n, g.k, g.ldb) : widen(w, g.b, g.k, g.n, g.ldb);
        f.ldb = g.transpose_b ? g.k : g.n;
        w.gemms->run(w, f);
        w.release(mark);
        return;
    }
    w.gemms->run(w, g);
}

}  // namespace so8t
