// Of each head: the largest |cuDNN's - own| and the largest |own|; of log-sum-exps, which are differences of logarithms, the largest
// |cuDNN's - own| / max(1, |own|).
// Reference: TestCuDNNIsProved in native/cudnn_proof_test.go.
#include "cudnn_proof.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "device.h"
#include "staging.h"

namespace so8t {

namespace {

using cuda::kAllLanes;
using cuda::to_float;
using cuda::warp_max;

constexpr int kCompareThreads = 256;
constexpr int64_t kCompareRows = 64;  // of a block

// Both round P and dS to bfloat16, after other steps. The tests hold each to 0.02 of a matrix's largest value; of a head that is less.
constexpr float kAllowed = 0.05f, kAllowedOfLse = 1e-3f;
// A head whose values vanish beside those of others holds nothing but rounding.
constexpr float kLeastOfAll = 1.0f / 256;

// Of a head: float32 as bits, whose order is theirs while none is negative.
struct Found {
    uint32_t unequal, difference, largest;
};

__device__ inline uint32_t bits_of(bf16 x) { return x.bits; }
__device__ inline uint32_t bits_of(float x) { return __float_as_uint(x); }

__device__ inline float difference(float x, float y) {
    if (x == y || (x != x && y != y)) return 0;
    const float d = fabsf(x - y);
    return d < INFINITY ? d : INFINITY;  // also of a NaN
}

// A maximum is the same in any order.
template <class T>
__global__ void __launch_bounds__(kCompareThreads)
    compare(const T* x, int64_t x_stride, const T* y, int64_t y_stride, int64_t rows, int64_t head_dim, Found* found) {
    const int64_t first = blockIdx.y * kCompareRows, column = blockIdx.x * head_dim, n = (rows - first < kCompareRows ? rows - first : kCompareRows) * head_dim;
    bool unequal = false;
    float most = 0, largest = 0;
    for (int64_t i = threadIdx.x; i < n; i += kCompareThreads) {
        const int64_t row = first + i / head_dim, at = column + i % head_dim;
        const T a = x[row * x_stride + at], b = y[row * y_stride + at];
        const float size = fabsf(to_float(b));
        float d = difference(to_float(a), to_float(b));
        if constexpr (sizeof(T) == 4) d /= size > 1 && size < INFINITY ? size : 1.0f;
        unequal = unequal || bits_of(a) != bits_of(b);
        most = fmaxf(most, d);
        if (size < INFINITY) largest = fmaxf(largest, size);
    }
    const uint32_t any = __ballot_sync(kAllLanes, unequal) != 0;
    most = warp_max(most);
    largest = warp_max(largest);
    if (threadIdx.x % 32 != 0) return;
    atomicMax(&found[blockIdx.x].unequal, any);
    atomicMax(&found[blockIdx.x].difference, __float_as_uint(most));
    atomicMax(&found[blockIdx.x].largest, __float_as_uint(largest));
}

float float_of(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

int64_t heads_of(const Result& r) { return r.columns / r.head_dim; }

void copy(Context& c, const View& to, const View& from, const Result& r) {
    const size_t size = static_cast<size_t>(dtype_bytes(r.view.dtype));
    check_cuda(cudaMemcpy2DAsync(to.data, static_cast<size_t>(to.stride) * size, from.data, static_cast<size_t>(from.stride) * size,
                                 static_cast<size_t>(r.columns) * size, static_cast<size_t>(r.rows), cudaMemcpyDeviceToDevice, c.stream),
               "copy of a result");
}

// Every byte 0xFF is a NaN, which an element that is not written shows.
void spoil(Context& c, const View& v, const Result& r) {
    const size_t size = static_cast<size_t>(dtype_bytes(r.view.dtype));
    check_cuda(
        cudaMemset2DAsync(v.data, static_cast<size_t>(v.stride) * size, 0xFF, static_cast<size_t>(r.columns) * size, static_cast<size_t>(r.rows), c.stream),
        "a result filled with NaN");
}

void compare_views([[maybe_unused]] Context& c, const View& x, const View& y, const Result& r, Found* found) {
    const dim3 grid(static_cast<unsigned>(heads_of(r)), static_cast<unsigned>(ceil_div(r.rows, kCompareRows)));
    if (r.view.dtype == SO8T_FLOAT32) {
        LAUNCH((compare<float>), grid, dim3(kCompareThreads), 0, c.stream, x.as<float>(), x.stride, y.as<float>(), y.stride, r.rows, r.head_dim, found);
    } else {
        LAUNCH((compare<bf16>), grid, dim3(kCompareThreads), 0, c.stream, x.as<bf16>(), x.stride, y.as<bf16>(), y.stride, r.rows, r.head_dim, found);
    }
    launched("compare");
}

std::string formatted(const char* format, const char* name, float x, float y) {
    char text[200];
    std::snprintf(text, sizeof text, format, name, static_cast<double>(x), static_cast<double>(y));
    return text;
}

// Each has as many `found` as the result has heads.
std::string unordered(const Result& r, const Found* found) {
    for (const Found* f = found; f < found + heads_of(r); f++) {
        if (f->unequal) return formatted("%s differs by %g between two runs, its largest value is %g", r.name, float_of(f->difference), float_of(f->largest));
    }
    return "";
}

std::string unlike(const Result& r, const Found* found) {
    const Found* const end = found + heads_of(r);
    float all = 0, worst = 0;
    for (const Found* f = found; f < end; f++) all = std::max(all, float_of(f->largest));
    std::string text;
    for (const Found* f = found; f < end; f++) {
        const float d = float_of(f->difference);
        const float allowed = r.view.dtype == SO8T_FLOAT32 ? kAllowedOfLse : kAllowed * std::max(float_of(f->largest), kLeastOfAll * all);
        const float excess = d > allowed ? d / allowed : 0;
        if (excess <= worst) continue;
        worst = excess;
        text = formatted("%s differs by %g from this library's own, at most %g is allowed", r.name, d, allowed);
    }
    return text;
}

}  // namespace

std::string refuted(Context& c, const std::vector<Result>& results, const std::function<void()>& cudnn,
                    const std::function<void(const std::vector<View>&)>& own) {
    Scratch scratch(c);
    std::vector<View> copies;
    int64_t heads = 0;
    for (const Result& r : results) {
        copies.push_back({scratch.take<char>(r.rows * r.columns * dtype_bytes(r.view.dtype)), r.columns, r.view.dtype});
        heads += heads_of(r);
    }
    std::vector<Found> found(static_cast<size_t>(2 * heads));
    Found *const on_device = scratch.take<Found>(2 * heads), *at = on_device;
    check_cuda(cudaMemsetAsync(on_device, 0, found.size() * sizeof(Found), c.stream), "cudaMemset");
    const auto compare_all = [&] {
        for (size_t i = 0; i < results.size(); at += heads_of(results[i++])) compare_views(c, results[i].view, copies[i], results[i], at);
    };
    cudnn();
    for (size_t i = 0; i < results.size(); i++) {
        copy(c, copies[i], results[i].view, results[i]);
        spoil(c, results[i].view, results[i]);
    }
    cudnn();
    compare_all();
    own(copies);
    compare_all();
    c.staging->download(found.data(), on_device, found.size() * sizeof(Found));
    const Found* of = found.data();
    std::string wrong;
    for (const auto judge : {unordered, unlike}) {
        for (const Result& r : results) {
            if (wrong.empty()) wrong = judge(r, of);
            of += heads_of(r);
        }
    }
    return wrong;
}

}  // namespace so8t
