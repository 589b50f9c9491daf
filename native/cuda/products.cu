#include "products.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <unordered_map>
#include <vector>

#include "algorithms.h"
#include "context.h"
#include "cublaslt.h"
#include "device.h"

namespace so8t {

using namespace cublaslt;

namespace {

constexpr size_t kWorkspace = 32 << 20;  // what NVIDIA advises for Hopper; others need less
constexpr int kCandidates = 8;
constexpr int kRuns = 3, kShortRuns = 20;  // of a short product more are timed, as the host needs some microseconds to begin
constexpr float kShort = 0.05f;            // milliseconds
constexpr int kAllocFailed = 3;            // CUBLAS_STATUS_ALLOC_FAILED

void check(int status, const char* what) {
    if (status == 0) return;
    if (status == kAllocFailed) out_of_memory("cuBLASLt: %s", what);
    check_cuda(cudaGetLastError(), what);  // of a device that is lost this tells more
    device_failed("cuBLASLt: %s (status %d)", what, status);
}

// The largest power of two that divides the addresses of a batch's matrices, up to the 16 bytes that fast kernels want: a larger
// one would make the algorithm depend on where memory happened to lie.
uint32_t alignment(const void* p, int64_t stride, int32_t dtype) {
    uint32_t a = 16;
    while ((reinterpret_cast<uintptr_t>(p) | static_cast<uintptr_t>(stride * dtype_bytes(dtype))) % a) a /= 2;
    return a;
}

// Packed batches have any number of rows; products whose numbers of rows fall into one class share an algorithm.
int64_t class_of(int64_t n) {
    const int64_t unit = n <= 1024 ? 128 : 1024;
    return n <= 16 ? n : (n + unit - 1) / unit * unit;
}

int type_of(int32_t dtype) { return dtype == SO8T_FLOAT32 ? kR32F : kR16BF; }

// A product as cuBLASLt takes it. Its matrices are column-major: the row-major C = A B is its C^T = B^T A^T, so that its A
// is our B.
struct Description {
    const Api& lt = api();
    const Product& p;
    const void* from;  // what beta multiplies
    int64_t ld_from;
    Desc desc = nullptr;
    Layout a = nullptr, b = nullptr, c = nullptr, d = nullptr;
    Preference preference = nullptr;

    explicit Description(const Product& product)
        : p(product), from(product.residual ? product.residual : product.c), ld_from(product.residual ? product.ld_residual : product.ldc) {}
    Description(const Description&) = delete;
    ~Description() {
        if (preference) lt.MatmulPreferenceDestroy(preference);
        for (Layout l : {a, b, c, d}) {
            if (l) lt.MatrixLayoutDestroy(l);
        }
        if (desc) lt.MatmulDescDestroy(desc);
    }

    void fill() {
        check(lt.MatmulDescCreate(&desc, kCompute32F, kR32F), "cublasLtMatmulDescCreate");
        const int op_a = p.transpose_b ? kOpT : kOpN, op_b = p.transpose_a ? kOpT : kOpN;
        check(lt.MatmulDescSetAttribute(desc, kDescTransA, &op_a, sizeof op_a), "transa");
        check(lt.MatmulDescSetAttribute(desc, kDescTransB, &op_b, sizeof op_b), "transb");
        const int type = type_of(p.dtype), c_type = type_of(p.c_dtype);
        check(p.transpose_b ? lt.MatrixLayoutCreate(&a, type, p.k, p.n, p.ldb) : lt.MatrixLayoutCreate(&a, type, p.n, p.k, p.ldb), "layout of B");
        check(p.transpose_a ? lt.MatrixLayoutCreate(&b, type, p.m, p.k, p.lda) : lt.MatrixLayoutCreate(&b, type, p.k, p.m, p.lda), "layout of A");
        check(lt.MatrixLayoutCreate(&c, c_type, p.n, p.m, ld_from), "layout of the residual");
        check(lt.MatrixLayoutCreate(&d, c_type, p.n, p.m, p.ldc), "layout of C");
        if (p.batch == 1) return;
        const int32_t count = static_cast<int32_t>(p.batch);
        const struct {
            Layout layout;
            int64_t stride;
        } operands[] = {{a, p.stride_b}, {b, p.stride_a}, {c, p.stride_c}, {d, p.stride_c}};
        for (const auto& x : operands) {
            check(lt.MatrixLayoutSetAttribute(x.layout, kLayoutBatchCount, &count, sizeof count), "batch");
            check(lt.MatrixLayoutSetAttribute(x.layout, kLayoutStridedBatchOffset, &x.stride, sizeof x.stride), "batch stride");
        }
    }

    int64_t bytes_of_c(int64_t ld) const { return ((p.batch - 1) * p.stride_c + (p.m - 1) * ld + p.n) * dtype_bytes(p.c_dtype); }
    bool reads_c() const {
        const char *read = static_cast<const char*>(from), *written = static_cast<const char*>(p.c);
        return read < written + bytes_of_c(p.ldc) && written < read + bytes_of_c(ld_from);
    }

    uint32_t align_a() const { return alignment(p.a, p.stride_a, p.dtype); }
    uint32_t align_b() const { return alignment(p.b, p.stride_b, p.dtype); }
    uint32_t align_c() const { return alignment(p.c, p.stride_c, p.c_dtype); }
    uint32_t align_from() const { return alignment(from, p.stride_c, p.c_dtype); }

    // What the choice of an algorithm depends on. Of strides only their alignment counts, so that the same numbers give the
    // same bits however far apart their rows lie.
    std::string key() const {
        char text[256];
        std::snprintf(text, sizeof text, "%lld x %lld x %lld %c%c %s %s align %u %u %u %u rows %u %u %u %u%s batch %lld", static_cast<long long>(class_of(p.m)),
                      static_cast<long long>(p.n), static_cast<long long>(p.transpose_a ? class_of(p.k) : p.k), p.transpose_a ? 'T' : 'N',
                      p.transpose_b ? 'T' : 'N', dtype_name(p.dtype), dtype_name(p.c_dtype), align_a(), align_b(), align_from(), align_c(),
                      alignment(nullptr, p.lda, p.dtype), alignment(nullptr, p.ldb, p.dtype), alignment(nullptr, ld_from, p.c_dtype),
                      alignment(nullptr, p.ldc, p.c_dtype), p.beta != 0 ? " +" : "", static_cast<long long>(p.batch));
        return text;
    }

    void prefer() {
        check(lt.MatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
        const uint64_t most = kWorkspace;
        const uint32_t reduction = kReductionComputeType;  // the other schemes round partial sums to C's type
        check(lt.MatmulPreferenceSetAttribute(preference, kPreferMaxWorkspace, &most, sizeof most), "workspace");
        check(lt.MatmulPreferenceSetAttribute(preference, kPreferReductionMask, &reduction, sizeof reduction), "reduction");
        const struct {
            int attribute;
            uint32_t bytes;
        } operands[] = {{kPreferAlignA, align_b()}, {kPreferAlignB, align_a()}, {kPreferAlignC, align_from()}, {kPreferAlignD, align_c()}};
        for (const auto& x : operands) check(lt.MatmulPreferenceSetAttribute(preference, x.attribute, &x.bytes, sizeof x.bytes), "alignment");
    }
};

struct Event {
    cudaEvent_t event = nullptr;
    Event() { check_cuda(cudaEventCreateWithFlags(&event, cudaEventDefault), "cudaEventCreate"); }
    Event(const Event&) = delete;
    ~Event() { cudaEventDestroy(event); }
};

}  // namespace

struct Products::State {
    Context& c;
    std::string path;
    bool open = false;
    Handle handle = nullptr;
    Algorithms algorithms;
    std::unordered_map<std::string, Algo> algos;    // of products that this context has multiplied
    std::unordered_map<std::string, Algo> instead;  // by exact shape: where the chosen one does not fit

    void open_once() {
        if (open) return;
        check(api().Create(&handle), "cublasLtCreate");
        algorithms.open(path, c.name + " | cuBLASLt " + std::to_string(api().GetVersion()));
        open = true;
    }

    bool find(const std::string& key, Algo& algo) {
        if (auto known = algos.find(key); known != algos.end()) {
            algo = known->second;
            return true;
        }
        if (!algorithms.find(key, &algo)) return false;
        algos.emplace(key, algo);
        return true;
    }

    int multiply(const Description& x, const Algo& algo, void* d, char* workspace) const {
        return x.lt.Matmul(handle, x.desc, &x.p.alpha, x.p.b, x.a, x.p.a, x.b, &x.p.beta, x.from, x.c, d, x.d, &algo, workspace, kWorkspace, c.stream);
    }

    bool usable(const Description& x, const Algo& algo) const {
        Heuristic h{};
        return x.lt.MatmulAlgoCheck(handle, x.desc, x.a, x.b, x.c, x.d, &algo, &h) == 0 && h.state == 0 && h.workspace <= kWorkspace;
    }

    // The heuristic's, its best first; at least one.
    std::vector<Algo> candidates(Description& x, const std::string& key) const {
        x.prefer();
        Heuristic all[kCandidates] = {};
        int count = 0;
        check(x.lt.MatmulAlgoGetHeuristic(handle, x.desc, x.a, x.b, x.c, x.d, x.preference, kCandidates, all, &count), key.c_str());
        std::vector<Algo> algos;
        for (int i = 0; i < count; i++) {
            if (all[i].state == 0) algos.push_back(all[i].algo);
        }
        if (algos.empty()) device_failed("cuBLASLt has no algorithm for %s", key.c_str());
        return algos;
    }

    // Milliseconds of one run; infinity if one fails.
    float time_of(const Description& x, const Algo& algo, void* d, char* workspace, int runs, const Event& begin, const Event& end) const {
        bool failed = false;
        check_cuda(cudaEventRecord(begin.event, c.stream), "cudaEventRecord");
        for (int run = 0; run < runs && !failed; run++) failed = multiply(x, algo, d, workspace) != 0;
        check_cuda(cudaEventRecord(end.event, c.stream), "cudaEventRecord");
        check_cuda(cudaEventSynchronize(end.event), "timing products");
        float ms = 0;
        check_cuda(cudaEventElapsedTime(&ms, begin.event, end.event), "cudaEventElapsedTime");
        if (failed) cudaGetLastError();  // the next launch must not be blamed
        return failed ? std::numeric_limits<float>::infinity() : ms / static_cast<float>(runs);
    }

    // The candidate that takes the least time.
    Algo fastest(const Description& x, const std::vector<Algo>& all, Scratch& scratch, char* workspace) const {
        Algo best = all[0];
        if (all.size() == 1) return best;
        // Where C is read as well, tries must not add to it.
        void* d = x.p.beta != 0 && x.reads_c() ? scratch.take<char>(x.bytes_of_c(x.p.ldc)) : x.p.c;
        const Event begin, end;
        float least = std::numeric_limits<float>::infinity();
        for (const Algo& algo : all) {
            const auto time = [&](int runs) { return time_of(x, algo, d, workspace, runs, begin, end); };
            if (std::isinf(time(1))) continue;  // the first run loads the kernel
            float ms = time(kRuns);
            if (ms < kShort) ms = time(kShortRuns);
            // Among equals the heuristic's order decides, so that noise seldom does.
            if (ms < 0.97f * least) {
                least = ms;
                best = algo;
            }
        }
        return best;
    }

    // The product's algorithm: the one chosen for its class before; timed now; or, where that does not fit this very shape, the
    // heuristic's first for it.
    Algo algorithm(Description& x, Scratch& scratch, char* workspace) {
        const std::string key = x.key();
        Algo algo;
        if (!find(key, algo)) {
            algo = fastest(x, candidates(x, key), scratch, workspace);
            algorithms.add(key, &algo);
            algos.emplace(key, algo);
            return algo;
        }
        if (usable(x, algo)) return algo;
        const std::string exact = key + " of " + std::to_string(x.p.m) + " x " + std::to_string(x.p.k);
        if (auto known = instead.find(exact); known != instead.end()) return known->second;
        return instead.emplace(exact, candidates(x, exact)[0]).first->second;
    }
};

Products::Products(Context& c, const char* algorithms) : state_(new State{c, algorithms, false, nullptr, {}, {}, {}}) {}

Products::~Products() {
    if (state_->handle) api().Destroy(state_->handle);
}

void Products::run(const Product& p) {
    State& s = *state_;
    s.open_once();
    Description x(p);
    x.fill();
    Scratch scratch(s.c);
    char* workspace = scratch.take<char>(kWorkspace);
    const Algo algo = s.algorithm(x, scratch, workspace);
    if (const int status = s.multiply(x, algo, p.c, workspace)) check(status, x.key().c_str());
}

}  // namespace so8t
