// CUDA on the CPU, for tests: shadows the toolkit's header of that name when the same .cu sources are built with g++.
// One fiber a CUDA thread; the blocks of a launch run one after another, the warps of a block in random order, each alone
// up to its next block barrier, so that a missing barrier shows. Streams execute at once. Device memory ends at a page that
// may not be touched, and is filled with garbage at first.
//
//   SO8T_EMULATED_SEED=7       another order of warps and lanes
//   SO8T_EMULATED_COPIES=now   cp.async lands at once (finds a barrier missing after a read); default: late, at its wait
//   SO8T_EMULATED_MEMORY=64M   the device's memory
//   SO8T_EMULATED_DEVICES=0    how many devices there are; default 1
//   SO8T_EMULATED_ARCH=sm_86   the card's capability and shared memory: sm_80 (default), sm_86, sm_89, sm_90, sm_120. A launch
//                              with more dynamic shared memory than the card has, or than 48 KiB without asking, is refused.
//   SO8T_EMULATED_TIMES=7      events tell random times, another sequence by seed; default: times by a model, always the same
//   SO8T_EMULATED_LAUNCHES=... a file to which each different launch is appended once: kernel, threads of a block, bytes of
//                              dynamic shared memory, between tabs
//   SO8T_EMULATED_EXECUTIONS=...  a file to which each execution of cuDNN appends a line
//   SO8T_EMULATED_FAULT=...    a fault: cublas_missing, old_driver, out_of_memory, capturing (memory cannot be freed), lost@N,
//                              at the N-th launch, after which every call fails until the device is reset; cuDNN's attention is
//                              cudnn_wrong (one value), cudnn_unordered (its last bit differs from one execution to the next),
//                              or cudnn_fails. Read at each call, so that a test can take it away again.
//
// A kernel's own faults abort the process, naming the fault and the place: a barrier that only part of a block reaches, a
// warp-collective that only part of a warp reaches, a 16-byte access at an unaligned address.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
#define __restrict__ __restrict
#define __align__(n) alignas(n)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};

// ---- the runtime's functions that this project calls ----

#define CUDART_VERSION 13000

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorNotReady = 600,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureUnsupported = 900
};
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaEventDefault = 0 };
typedef struct emulated_stream* cudaStream_t;
typedef struct emulated_event* cudaEvent_t;
struct cudaDeviceProp {
    char name[256];
    int major, minor, multiProcessorCount;
    size_t totalGlobalMem, sharedMemPerBlockOptin;
};

const char* cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError();
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaDeviceReset();
cudaError_t cudaGetDeviceCount(int*);
cudaError_t cudaDriverGetVersion(int*);
cudaError_t cudaSetDevice(int);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int device);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMalloc(void**, size_t);
cudaError_t cudaFree(void*);
cudaError_t cudaMallocHost(void**, size_t);
cudaError_t cudaFreeHost(void*);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t, cudaMemcpyKind, cudaStream_t);
cudaError_t cudaMemsetAsync(void*, int value, size_t, cudaStream_t);
cudaError_t cudaMemset2DAsync(void*, size_t pitch, int value, size_t width, size_t height, cudaStream_t);
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind, cudaStream_t);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned flags = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t*, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t);
cudaError_t cudaEventSynchronize(cudaEvent_t);
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t);

namespace emulated {

struct Architecture {
    const char* name;
    int major, minor;
    size_t shared_limit;  // bytes that a block may ask for
};
const Architecture& architecture();

// The attribute is known by the function's address, as a launch is.
template <class... Parameters>
const void* address_of(void (*kernel)(Parameters...)) {
    return reinterpret_cast<const void*>(kernel);
}
cudaError_t allow_shared(const void* kernel, int bytes);

}  // namespace emulated

template <class T>
cudaError_t cudaFuncSetAttribute(T* kernel, cudaFuncAttribute, int bytes) {
    return emulated::allow_shared(emulated::address_of(kernel), bytes);
}

// ---- inside a kernel ----

namespace emulated {

struct Kernel {
    std::string name;  // with its template's arguments
    const void* address;
};
template <auto* K>
const Kernel& described() {
    static const std::string text = __PRETTY_FUNCTION__;  // "... [with auto* K = name]"
    static const size_t begin = text.find("K = ") + 4;
    static const Kernel k{text.substr(begin, text.rfind(']') - begin), address_of(K)};
    return k;
}
cudaError_t refused(dim3 grid, dim3 block, size_t shared_bytes, const Kernel& kernel);
void launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, const Kernel& kernel, const std::function<void()>& body);
// The kernel's arguments are copied before it starts, as a launch copies them.
template <class F, class... Arguments>
std::function<void()> bound(F f, Arguments... arguments) {
    return [=] { f(arguments...); };
}
bool fault(const char* name);  // whether SO8T_EMULATED_FAULT is this one
void launch_failed(cudaError_t);
// A stream's clock, and what changes with each of its operations but products.
void pass_time(cudaStream_t, double microseconds);
void executed(cudaStream_t, double microseconds);
uint64_t operations(cudaStream_t);
bool lost_at_this_launch();
unsigned char* dynamic_shared();
bool copies_land_now();

struct Place {
    dim3 thread;
    int linear;
};
const Place& here();
const dim3 &block_index(), &block_size(), &grid_size();
int lane();

// Every lane of the warp passes bytes and sees those of all 32 until the next collective.
const unsigned char* exchange(const void* value, size_t bytes);  // [32][64]
void exchanged();
void block_barrier(int line);
void aligned16(const void* address);  // aborts where it is not

template <class T>
T from_lane(T value, int source) {
    static_assert(sizeof(T) <= 64, "a lane exchanges at most 64 bytes");
    const unsigned char* all = exchange(&value, sizeof value);
    T r;
    std::memcpy(&r, all + 64 * (source & 31), sizeof r);
    exchanged();
    return r;
}
template <class T>
void from_all(const T& value, T (&out)[32]) {
    const unsigned char* all = exchange(&value, sizeof value);
    for (int i = 0; i < 32; i++) std::memcpy(&out[i], all + 64 * i, sizeof(T));
    exchanged();
}

}  // namespace emulated

#define threadIdx (emulated::here().thread)
#define blockIdx (emulated::block_index())
#define blockDim (emulated::block_size())
#define gridDim (emulated::grid_size())

// The line identifies a barrier: a compiler may duplicate one.
#define __syncthreads() emulated::block_barrier(__LINE__)
inline void __syncwarp(unsigned = ~0u) {
    char nothing = 0;
    emulated::exchange(&nothing, 1);
    emulated::exchanged();
}
template <class T>
T __shfl_xor_sync(unsigned, T v, int mask) {
    return emulated::from_lane(v, emulated::lane() ^ mask);
}
template <class T>
T __shfl_sync(unsigned, T v, int source) {
    return emulated::from_lane(v, source);
}
template <class T>
T __shfl_down_sync(unsigned, T v, int by) {
    const int source = emulated::lane() + by;
    return emulated::from_lane(v, source < 32 ? source : emulated::lane());
}
template <class T>
T __shfl_up_sync(unsigned, T v, int by) {
    const int source = emulated::lane() - by;
    return emulated::from_lane(v, source >= 0 ? source : emulated::lane());
}
inline unsigned __ballot_sync(unsigned, int predicate) {
    int all[32];
    emulated::from_all(predicate, all);
    unsigned bits = 0;
    for (int i = 0; i < 32; i++) bits |= static_cast<unsigned>(all[i] != 0) << i;
    return bits;
}
inline float __uint_as_float(unsigned u) {
    float f;
    std::memcpy(&f, &u, 4);
    return f;
}
inline unsigned __float_as_uint(float f) {
    unsigned u;
    std::memcpy(&u, &f, 4);
    return u;
}
// Each nibble of `pick` names a byte of the eight in x (0 to 3) and y (4 to 7).
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned pick) {
    const uint64_t bytes = static_cast<uint64_t>(y) << 32 | x;
    unsigned r = 0;
    for (int i = 0; i < 4; i++) r |= static_cast<unsigned>(bytes >> 8 * (pick >> 4 * i & 7) & 0xFF) << 8 * i;
    return r;
}
inline int __float2int_rn(float x) { return static_cast<int>(nearbyintf(x)); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32); }
inline unsigned long long atomicMin(unsigned long long* p, unsigned long long v) {
    const unsigned long long old = *p;
    if (v < old) *p = v;
    return old;
}
inline unsigned atomicMax(unsigned* p, unsigned v) {
    const unsigned old = *p;
    if (v > old) *p = v;
    return old;
}
inline int atomicCAS(int* p, int expected, int v) {
    const int old = *p;
    if (old == expected) *p = v;
    return old;
}
