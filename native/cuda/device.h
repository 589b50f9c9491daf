// What kernels are written with, for nvcc and the emulator alike: launches, shared memory, 16-bit floats, vectors of
// elements, sums over warps and blocks. Rules that the emulator relies on: launches and dynamic shared memory through
// these macros, PTX only in ptx.h, no thread leaves a kernel before a barrier of its block, no float atomics.
#pragma once

#include <cuda_runtime.h>
#if defined(SO8T_EMULATED)
#include <immintrin.h>
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

#include <cstdint>
#include <type_traits>

#include "dtypes.h"

namespace so8t::cuda {

#if defined(SO8T_EMULATED)
// A kernel with several template arguments needs parentheses.
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                           \
    emulated::launch(grid, block, shared_bytes, stream, emulated::described<(kernel)>(), \
                     emulated::bound([](auto... so8t_arguments) { kernel(so8t_arguments...); }, __VA_ARGS__))
#define LAUNCH_NEXT(kernel, grid, block, shared_bytes, c, ...) LAUNCH(kernel, grid, block, shared_bytes, (c).stream, __VA_ARGS__)
#define DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(emulated::dynamic_shared())
#else
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) kernel<<<grid, block, shared_bytes, stream>>>(__VA_ARGS__)
#define LAUNCH_NEXT(kernel, grid, block, shared_bytes, c, ...) launch_next(kernel, grid, block, shared_bytes, c, __VA_ARGS__)
#define DYNAMIC_SHARED(T, name)                                   \
    extern __shared__ __align__(128) unsigned char so8t_shared[]; \
    T* name = reinterpret_cast<T*>(so8t_shared)
#endif

constexpr unsigned kAllLanes = 0xFFFFFFFFu;

#if defined(SO8T_EMULATED)
inline uint16_t float_to_bfloat(float f) {
    const uint32_t u = __float_as_uint(f);
    return static_cast<uint16_t>(f != f ? 0x7FFF : (u + 0x7FFF + (u >> 16 & 1)) >> 16);
}
inline float half_to_float(uint16_t h) { return _cvtsh_ss(h); }
inline uint16_t float_to_half(float f) { return _cvtss_sh(f, 0); }
#else
__device__ inline uint16_t float_to_bfloat(float f) { return __bfloat16_as_ushort(__float2bfloat16_rn(f)); }
__device__ inline float half_to_float(uint16_t h) { return __half2float(__ushort_as_half(h)); }
__device__ inline uint16_t float_to_half(float f) { return __half_as_ushort(__float2half_rn(f)); }
#endif

__host__ __device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }
__device__ inline float to_float(int8_t x) { return static_cast<float>(x); }
__device__ inline float to_float(f16 x) { return half_to_float(x.bits); }

// Rounded to nearest even; a NaN stays one.
__device__ inline void from_float(float f, float& y) { y = f; }
__device__ inline void from_float(float f, bf16& y) { y.bits = float_to_bfloat(f); }
__device__ inline void from_float(float f, f16& y) { y.bits = float_to_half(f); }
template <class T>
__device__ inline T rounded(float f) {
    T y;
    from_float(f, y);
    return y;
}

// V contiguous elements, read and written 16 bytes at a time.
template <class T, int V>
struct alignas(V * sizeof(T) > 16 ? 16 : V * sizeof(T)) Vec {
    T at[V];
};
template <class T, int V>
__device__ inline Vec<T, V> load(const T* p) {
    return *reinterpret_cast<const Vec<T, V>*>(p);
}
__device__ void store16(void* to, const uint4& words);  // to global memory; in ptx.h
template <class T, int V>
__device__ inline void store(T* p, const Vec<T, V>& v) {
    if constexpr (sizeof v % 16 == 0) {  // the compiler takes many a vector apart into stores of 4 bytes
        uint4 words[sizeof v / 16];
        memcpy(words, &v, sizeof v);
#pragma unroll
        for (size_t i = 0; i < sizeof v / 16; i++) store16(reinterpret_cast<char*>(p) + 16 * i, words[i]);
    } else {
        *reinterpret_cast<Vec<T, V>*>(p) = v;
    }
}
// Byte k of packed int8, by way of 2^23 + 128 + q, whose last byte holds q: exact, and none of the conversion unit's few slots.
__device__ inline float byte_to_float(uint32_t packed, int k) {
    return __uint_as_float(__byte_perm(packed ^ 0x80808080u, 0x4B000000u, 0x7540u | k)) - 8388736.0f;
}
// V elements as words, which the compiler does not take apart before they are needed; as elements where they fill none.
template <class T, int V>
using Packed = std::conditional_t<V * sizeof(T) % 4 == 0, Vec<uint32_t, static_cast<int>(V * sizeof(T) / 4)>, Vec<T, V>>;
template <class T, int V>
__device__ inline Packed<T, V> load_packed(const T* p) {
    return *reinterpret_cast<const Packed<T, V>*>(p);
}
template <class T, int V>
__device__ inline void to_floats(const Packed<T, V>& v, float (&x)[V]) {
#pragma unroll
    for (int i = 0; i < V; i++) {
        if constexpr (std::is_same_v<T, float>) {
            x[i] = __uint_as_float(v.at[i]);
        } else if constexpr (std::is_same_v<T, bf16> && V % 2 == 0) {
            x[i] = __uint_as_float(i % 2 ? v.at[i / 2] & 0xFFFF0000u : v.at[i / 2] << 16);
        } else if constexpr (std::is_same_v<T, int8_t> && V % 4 == 0) {
            x[i] = byte_to_float(v.at[i / 4], i % 4);
        } else {
            x[i] = to_float(v.at[i]);
        }
    }
}

// As float32.
template <int V, class T>
__device__ inline void load_floats(const T* p, float (&x)[V]) {
    if constexpr (std::is_same_v<T, int8_t>) {
        to_floats<T>(load_packed<T, V>(p), x);
    } else {
        const Vec<T, V> v = load<T, V>(p);
#pragma unroll
        for (int i = 0; i < V; i++) x[i] = to_float(v.at[i]);
    }
}
template <int V, class T>
__device__ inline void store_floats(T* p, const float (&x)[V]) {
    Vec<T, V> v;
#pragma unroll
    for (int i = 0; i < V; i++) from_float(x[i], v.at[i]);
    store<T, V>(p, v);
}

// Every lane gets the result, summed in a fixed order.
__device__ inline float warp_sum(float x) {
#pragma unroll
    for (int i = 16; i > 0; i >>= 1) x += __shfl_xor_sync(kAllLanes, x, i);
    return x;
}
__device__ inline double warp_sum(double x) {
#pragma unroll
    for (int i = 16; i > 0; i >>= 1) x += __shfl_xor_sync(kAllLanes, x, i);
    return x;
}
__device__ inline float warp_max(float x) {
#pragma unroll
    for (int i = 16; i > 0; i >>= 1) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, i));
    return x;
}

// All threads of a block of whole warps must call it, and get the result. It ends with a barrier.
template <class T>
__device__ inline T block_sum(T x) {
    __shared__ T part[32];
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    const int warps = blockDim.x / 32;
    T total = part[0];
    for (int i = 1; i < warps; i++) total += part[i];
    __syncthreads();
    return total;
}
__device__ inline float block_max(float x) {
    __shared__ float part[32];
    x = warp_max(x);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    const int warps = blockDim.x / 32;
    float most = part[0];
    for (int i = 1; i < warps; i++) most = fmaxf(most, part[i]);
    __syncthreads();
    return most;
}

}  // namespace so8t::cuda

#include "ptx.h"
