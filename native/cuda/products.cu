#include "products.h"

#include <cstdio>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "choices.h"
#include "context.h"
#include "cublaslt.h"
#include "device.h"

namespace so8t {

#if defined(SO8T_EMULATED)

struct Products::State {};

Products::Products(Context& c, const char*) : c_(c) {}
Products::~Products() = default;

namespace {

float element(const void* p, int64_t i, int32_t dtype) {
    return dtype == SO8T_FLOAT32 ? static_cast<const float*>(p)[i] : cuda::to_float(static_cast<const cuda::bf16*>(p)[i]);
}

std::vector<float> widened(const void* p, int64_t rows, int64_t columns, int64_t ld, bool transpose, int32_t dtype) {
    std::vector<float> x(static_cast<size_t>(rows * columns));
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) x[static_cast<size_t>(i * columns + j)] = element(p, transpose ? j * ld + i : i * ld + j, dtype);
    }
    return x;
}

}  // namespace

// A plain loop: what cuBLASLt does is not this project's to test.
void Products::run(const Product& p) {
    const std::vector<float> a = widened(p.a, p.m, p.k, p.lda, p.transpose_a, p.dtype), b = widened(p.b, p.k, p.n, p.ldb, p.transpose_b, p.dtype);
    std::vector<float> sums(static_cast<size_t>(p.n));
    for (int64_t i = 0; i < p.m; i++) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (int64_t l = 0; l < p.k; l++) {
            const float x = a[static_cast<size_t>(i * p.k + l)];
            const float* row = &b[static_cast<size_t>(l * p.n)];
            for (int64_t j = 0; j < p.n; j++) sums[static_cast<size_t>(j)] += x * row[j];
        }
        const void* from = p.residual ? p.residual : p.c;
        const int64_t ld = p.residual ? p.ld_residual : p.ldc;
        for (int64_t j = 0; j < p.n; j++) {
            float y = p.alpha * sums[static_cast<size_t>(j)];
            if (p.beta != 0) y += p.beta * element(from, i * ld + j, p.c_dtype);
            if (p.c_dtype == SO8T_FLOAT32) {
                static_cast<float*>(p.c)[i * p.ldc + j] = y;
            } else {
                cuda::from_float(y, static_cast<cuda::bf16*>(p.c)[i * p.ldc + j]);
            }
        }
    }
}

#else

using namespace cublaslt;

namespace {

constexpr size_t kWorkspace = 32 << 20;  // what NVIDIA advises for Hopper; others need less
constexpr int kCandidates = 8, kRuns = 3;

void check(int status, const char* what) {
    if (status != 0) fail("cuBLASLt: %s (status %d)", what, status);
}

// The largest power of two that divides an address, up to the 16 bytes that fast kernels want: more would make the choice
// depend on where memory happened to lie.
uint32_t alignment(const void* p) {
    uint32_t a = 16;
    while (reinterpret_cast<uintptr_t>(p) % a) a /= 2;
    return a;
}

// Packed rows come in every number; products whose number of rows falls into one class share an algorithm.
int64_t class_of(int64_t n) {
    const int64_t unit = n <= 1024 ? 128 : 1024;
    return n <= 16 ? n : (n + unit - 1) / unit * unit;
}

struct Owned {
    const Api& api;
    Desc desc = nullptr;
    Layout a = nullptr, b = nullptr, c = nullptr, d = nullptr;
    Preference preference = nullptr;
    ~Owned() {
        if (preference) api.MatmulPreferenceDestroy(preference);
        for (Layout l : {a, b, c, d}) {
            if (l) api.MatrixLayoutDestroy(l);
        }
        if (desc) api.MatmulDescDestroy(desc);
    }
};

int type_of(int32_t dtype) { return dtype == SO8T_FLOAT32 ? kR32F : kR16BF; }

}  // namespace

struct Products::State {
    std::string path;
    bool open = false;
    Handle handle = nullptr;
    Choices choices;
    std::unordered_map<std::string, Algo> algos;
};

Products::Products(Context& c, const char* choices) : c_(c), state_(new State) { state_->path = choices; }

Products::~Products() {
    if (state_->handle) api().Destroy(state_->handle);
}

void Products::run(const Product& p) {
    State& s = *state_;
    const Api& lt = api();
    if (!s.open) {
        check(lt.Create(&s.handle), "cublasLtCreate");
        s.choices.open(s.path, c_.name + " | cuBLASLt " + std::to_string(lt.GetVersion()));
        s.open = true;
    }
    // cuBLASLt's matrices are column-major, so that the row-major C = A B is its C^T = B^T A^T.
    Owned o{lt};
    check(lt.MatmulDescCreate(&o.desc, kCompute32F, kR32F), "cublasLtMatmulDescCreate");
    const int op_a = p.transpose_b ? kOpT : kOpN, op_b = p.transpose_a ? kOpT : kOpN;
    check(lt.MatmulDescSetAttribute(o.desc, kDescTransA, &op_a, sizeof op_a), "transa");
    check(lt.MatmulDescSetAttribute(o.desc, kDescTransB, &op_b, sizeof op_b), "transb");
    const int type = type_of(p.dtype), c_type = type_of(p.c_dtype);
    const void* from = p.residual ? p.residual : p.c;
    const int64_t ld_from = p.residual ? p.ld_residual : p.ldc;
    check(p.transpose_b ? lt.MatrixLayoutCreate(&o.a, type, p.k, p.n, p.ldb) : lt.MatrixLayoutCreate(&o.a, type, p.n, p.k, p.ldb), "layout of B");
    check(p.transpose_a ? lt.MatrixLayoutCreate(&o.b, type, p.m, p.k, p.lda) : lt.MatrixLayoutCreate(&o.b, type, p.k, p.m, p.lda), "layout of A");
    check(lt.MatrixLayoutCreate(&o.c, c_type, p.n, p.m, ld_from), "layout of the residual");
    check(lt.MatrixLayoutCreate(&o.d, c_type, p.n, p.m, p.ldc), "layout of C");

    char key[256];
    std::snprintf(key, sizeof key, "%lld x %lld x %lld %c%c %s %s lda %lld ldb %lld ldc %lld %lld align %u %u %u %u%s", static_cast<long long>(class_of(p.m)), static_cast<long long>(p.n),
                  static_cast<long long>(p.transpose_a ? class_of(p.k) : p.k), p.transpose_a ? 'T' : 'N', p.transpose_b ? 'T' : 'N', dtype_name(p.dtype), dtype_name(p.c_dtype),
                  static_cast<long long>(p.lda), static_cast<long long>(p.ldb), static_cast<long long>(p.ldc), static_cast<long long>(ld_from), alignment(p.a),
                  alignment(p.b), alignment(from), alignment(p.c), p.beta != 0 ? " +" : "");
    Scratch scratch(c_);
    char* workspace = scratch.take<char>(kWorkspace);
    const auto multiply = [&](const Algo& algo, void* d) {
        return lt.Matmul(s.handle, o.desc, &p.alpha, p.b, o.a, p.a, o.b, &p.beta, from, o.c, d, o.d, &algo, workspace, kWorkspace, c_.stream);
    };
    const auto usable = [&](const Algo& algo) {
        Heuristic h;
        return lt.MatmulAlgoCheck(s.handle, o.desc, o.a, o.b, o.c, o.d, &algo, &h) == 0 && h.state == 0 && h.workspace <= kWorkspace;
    };

    Algo algo;
    auto known = s.algos.find(key);
    bool chosen = known != s.algos.end();
    if (chosen) {
        algo = known->second;
    } else if (s.choices.find(key, &algo)) {
        s.algos.emplace(key, algo);
        chosen = true;
    }
    if (chosen && usable(algo)) {
        check(multiply(algo, p.c), key);
        return;
    }

    check(lt.MatmulPreferenceCreate(&o.preference), "cublasLtMatmulPreferenceCreate");
    const uint64_t most = kWorkspace;
    const uint32_t reduction = kReductionComputeType;  // the other schemes round partial sums to C's type
    check(lt.MatmulPreferenceSetAttribute(o.preference, kPreferMaxWorkspace, &most, sizeof most), "workspace");
    check(lt.MatmulPreferenceSetAttribute(o.preference, kPreferReductionMask, &reduction, sizeof reduction), "reduction");
    const struct {
        int attribute;
        const void* address;
    } operands[] = {{kPreferAlignA, p.b}, {kPreferAlignB, p.a}, {kPreferAlignC, from}, {kPreferAlignD, p.c}};
    for (const auto& x : operands) {
        const uint32_t bytes = alignment(x.address);
        check(lt.MatmulPreferenceSetAttribute(o.preference, x.attribute, &bytes, sizeof bytes), "alignment");
    }
    Heuristic candidates[kCandidates];
    int count = 0;
    check(lt.MatmulAlgoGetHeuristic(s.handle, o.desc, o.a, o.b, o.c, o.d, o.preference, kCandidates, candidates, &count), key);
    if (count == 0) fail("cuBLASLt has no algorithm for %s", key);
    int best = 0;
    if (!chosen && count > 1) {
        // Where C is read as well, tries must not add to it.
        void* d = p.c;
        if (p.beta != 0 && !p.residual) d = scratch.take<char>(((p.m - 1) * p.ldc + p.n) * dtype_bytes(p.c_dtype));
        cudaEvent_t begin, end;
        check_cuda(cudaEventCreateWithFlags(&begin, cudaEventDefault), "cudaEventCreate");
        check_cuda(cudaEventCreateWithFlags(&end, cudaEventDefault), "cudaEventCreate");
        float fastest = 0;
        for (int i = 0; i < count; i++) {
            if (candidates[i].state != 0 || multiply(candidates[i].algo, d) != 0) continue;
            cudaEventRecord(begin, c_.stream);
            for (int run = 0; run < kRuns; run++) multiply(candidates[i].algo, d);
            cudaEventRecord(end, c_.stream);
            check_cuda(cudaEventSynchronize(end), "timing products");
            float ms = 0;
            check_cuda(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
            // The heuristic's order decides among equals, so that noise seldom does.
            if (fastest == 0 || ms < 0.97f * fastest) {
                fastest = ms;
                best = i;
            }
        }
        cudaEventDestroy(begin);
        cudaEventDestroy(end);
    }
    algo = candidates[best].algo;
    if (!chosen) {
        s.choices.add(key, &algo);
        s.algos.emplace(key, algo);
    }
    check(multiply(algo, p.c), key);
}

#endif

}  // namespace so8t
