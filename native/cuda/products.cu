#include "products.h"

#include <cstdio>
#include <string>
#include <unordered_map>

#include "algorithms.h"
#include "context.h"
#include "cublaslt.h"
#include "device.h"

namespace so8t {

using namespace cublaslt;

namespace {

constexpr size_t kWorkspace = 32 << 20;  // what NVIDIA advises for Hopper; others need less
constexpr int kCandidates = 8, kRuns = 3;
constexpr int kAllocFailed = 3;  // CUBLAS_STATUS_ALLOC_FAILED

void check(int status, const char* what) {
    if (status == kAllocFailed) out_of_memory("cuBLASLt: %s", what);
    if (status != 0) device_failed("cuBLASLt: %s (status %d)", what, status);
}

// The largest power of two that divides an address, up to the 16 bytes that fast kernels want: a larger one would make the
// algorithm depend on where memory happened to lie.
uint32_t alignment(const void* p) {
    uint32_t a = 16;
    while (reinterpret_cast<uintptr_t>(p) % a) a /= 2;
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
    }

    // What the choice of an algorithm depends on.
    std::string key() const {
        char text[256];
        std::snprintf(text, sizeof text, "%lld x %lld x %lld %c%c %s %s lda %lld ldb %lld ldc %lld %lld align %u %u %u %u%s",
                      static_cast<long long>(class_of(p.m)), static_cast<long long>(p.n), static_cast<long long>(p.transpose_a ? class_of(p.k) : p.k),
                      p.transpose_a ? 'T' : 'N', p.transpose_b ? 'T' : 'N', dtype_name(p.dtype), dtype_name(p.c_dtype), static_cast<long long>(p.lda),
                      static_cast<long long>(p.ldb), static_cast<long long>(p.ldc), static_cast<long long>(ld_from), alignment(p.a), alignment(p.b),
                      alignment(from), alignment(p.c), p.beta != 0 ? " +" : "");
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
            const void* address;
        } operands[] = {{kPreferAlignA, p.b}, {kPreferAlignB, p.a}, {kPreferAlignC, from}, {kPreferAlignD, p.c}};
        for (const auto& x : operands) {
            const uint32_t bytes = alignment(x.address);
            check(lt.MatmulPreferenceSetAttribute(preference, x.attribute, &bytes, sizeof bytes), "alignment");
        }
    }
};

}  // namespace

struct Products::State {
    Context& c;
    std::string path;
    bool open = false;
    Handle handle = nullptr;
    Algorithms algorithms;
    std::unordered_map<std::string, Algo> algos;  // of products that this context has multiplied

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
        Heuristic h;
        return x.lt.MatmulAlgoCheck(handle, x.desc, x.a, x.b, x.c, x.d, &algo, &h) == 0 && h.state == 0 && h.workspace <= kWorkspace;
    }

    // The candidate that takes the least time.
    int fastest(const Description& x, const Heuristic* candidates, int count, Scratch& scratch, char* workspace) const {
        // Where C is read as well, trials must not add to it.
        void* d = x.p.c;
        if (x.p.beta != 0 && !x.p.residual) d = scratch.take<char>(((x.p.m - 1) * x.p.ldc + x.p.n) * dtype_bytes(x.p.c_dtype));
        cudaEvent_t begin, end;
        check_cuda(cudaEventCreateWithFlags(&begin, cudaEventDefault), "cudaEventCreate");
        check_cuda(cudaEventCreateWithFlags(&end, cudaEventDefault), "cudaEventCreate");
        int best = 0;
        float least = 0;
        for (int i = 0; i < count; i++) {
            if (candidates[i].state != 0 || multiply(x, candidates[i].algo, d, workspace) != 0) continue;
            cudaEventRecord(begin, c.stream);
            for (int run = 0; run < kRuns; run++) multiply(x, candidates[i].algo, d, workspace);
            cudaEventRecord(end, c.stream);
            check_cuda(cudaEventSynchronize(end), "timing products");
            float ms = 0;
            check_cuda(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
            // Among equals the heuristic's order decides, so that noise seldom does.
            if (least == 0 || ms < 0.97f * least) {
                least = ms;
                best = i;
            }
        }
        cudaEventDestroy(begin);
        cudaEventDestroy(end);
        return best;
    }
};

Products::Products(Context& c, const char* algorithms) : state_(new State{c, algorithms, false, nullptr, {}, {}}) {}

Products::~Products() {
    if (state_->handle) api().Destroy(state_->handle);
}

void Products::run(const Product& p) {
    State& s = *state_;
    s.open_once();
    Description x(p);
    x.fill();
    const std::string key = x.key();
    Scratch scratch(s.c);
    char* workspace = scratch.take<char>(kWorkspace);

    Algo algo;
    const bool chosen = s.find(key, algo);
    if (chosen && s.usable(x, algo)) {
        check(s.multiply(x, algo, p.c, workspace), key.c_str());
        return;
    }
    x.prefer();
    Heuristic candidates[kCandidates];
    int count = 0;
    check(x.lt.MatmulAlgoGetHeuristic(s.handle, x.desc, x.a, x.b, x.c, x.d, x.preference, kCandidates, candidates, &count), key.c_str());
    if (count == 0) device_failed("cuBLASLt has no algorithm for %s", key.c_str());
    // One that was chosen but does not fit this product gives way to the heuristic's first, for this product only.
    algo = candidates[!chosen && count > 1 ? s.fastest(x, candidates, count, scratch, workspace) : 0].algo;
    if (!chosen) {
        s.algorithms.add(key, &algo);
        s.algos.emplace(key, algo);
    }
    check(s.multiply(x, algo, p.c, workspace), key.c_str());
}

}  // namespace so8t
