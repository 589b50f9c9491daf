// Vectors of float32 for the instruction set that this file is compiled for, and the 16-bit formats.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "dtypes.h"

namespace so8t::SO8T_ISA {

inline float to_float(float x) { return x; }
inline float to_float(bf16 x) {
    uint32_t u = static_cast<uint32_t>(x.bits) << 16;
    float f;
    std::memcpy(&f, &u, 4);
    return f;
}
inline float to_float(f16 x) { return _cvtsh_ss(x.bits); }

// Rounded to nearest even; a NaN stays one.
inline void from_float(float f, float& y) { y = f; }
inline void from_float(float f, bf16& y) {
    uint32_t u;
    std::memcpy(&u, &f, 4);
    y.bits = static_cast<uint16_t>(f != f ? (u >> 16) | 0x40 : (u + 0x7FFF + (u >> 16 & 1)) >> 16);
}
inline void from_float(float f, f16& y) { y.bits = _cvtss_sh(f, 0); }

#if defined(__AVX512F__)

constexpr int W = 16;
typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));

inline __mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }
inline vf set(float x) { return (vf)_mm512_set1_ps(x); }
inline vf load(const float* p) { return (vf)_mm512_loadu_ps(p); }
inline vf load(const bf16* p) { return (vf)_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16)); }
inline vf load(const f16* p) { return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p)); }
inline vf load(const int8_t* p) { return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p))); }
inline void store(float* p, vf v) { _mm512_storeu_ps(p, (__m512)v); }
inline __m256i round_bf16(vf v) {
#if defined(__AVX512BF16__)
    return (__m256i)_mm512_cvtneps_pbh((__m512)v);
#else
    __m512i u = _mm512_castps_si512((__m512)v);
    __m512i r = _mm512_srli_epi32(
        _mm512_add_epi32(u, _mm512_add_epi32(_mm512_set1_epi32(0x7FFF), _mm512_and_epi32(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1)))), 16);
    __mmask16 nan = _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
    r = _mm512_mask_or_epi32(r, nan, _mm512_srli_epi32(u, 16), _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(r);
#endif
}
inline void store(bf16* p, vf v) { _mm256_storeu_si256((__m256i*)p, round_bf16(v)); }
inline void store(f16* p, vf v) { _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph((__m512)v, 0)); }
// The first n of W; the rest reads as 0.
inline vf load(const float* p, int64_t n) { return (vf)_mm512_maskz_loadu_ps(first(n), p); }
inline vf load(const bf16* p, int64_t n) {
    return (vf)_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), p)), 16));
}
inline vf load(const f16* p, int64_t n) { return (vf)_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p)); }
inline vf load(const int8_t* p, int64_t n) { return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(n), p))); }
inline void store(float* p, vf v, int64_t n) { _mm512_mask_storeu_ps(p, first(n), (__m512)v); }
inline void store(bf16* p, vf v, int64_t n) { _mm256_mask_storeu_epi16(p, first(n), round_bf16(v)); }
inline void store(f16* p, vf v, int64_t n) { _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtps_ph((__m512)v, 0)); }
inline vf fma(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
inline vf max(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
inline vf min(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
inline vf abs(vf a) { return (vf)_mm512_abs_ps((__m512)a); }
inline vf sqrt(vf a) { return (vf)_mm512_sqrt_ps((__m512)a); }
inline vf round_even(vf a) { return (vf)_mm512_roundscale_ps((__m512)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline float sum(vf a) { return _mm512_reduce_add_ps((__m512)a); }
// Lane i is the sum of a[i], W vectors; every lane adds in the same order.
inline vf sum_each(const vf* a) {
    __m512 four[4];
    for (int i = 0; i < 4; i++) {
        const __m512 *p = reinterpret_cast<const __m512*>(a) + 4 * i, x = _mm512_unpacklo_ps(p[0], p[1]) + _mm512_unpackhi_ps(p[0], p[1]),
                     y = _mm512_unpacklo_ps(p[2], p[3]) + _mm512_unpackhi_ps(p[2], p[3]);
        four[i] = _mm512_shuffle_ps(x, y, 0x44) + _mm512_shuffle_ps(x, y, 0xEE);
    }
    const __m512 x = _mm512_shuffle_f32x4(four[0], four[1], 0x88) + _mm512_shuffle_f32x4(four[0], four[1], 0xDD),
                 y = _mm512_shuffle_f32x4(four[2], four[3], 0x88) + _mm512_shuffle_f32x4(four[2], four[3], 0xDD);
    return (vf)(_mm512_shuffle_f32x4(x, y, 0x88) + _mm512_shuffle_f32x4(x, y, 0xDD));
}
inline float largest(vf a) { return _mm512_reduce_max_ps((__m512)a); }
// 2^n for whole n in [-127, 128]
inline vf scale2(vf x, vf n) { return (vf)_mm512_scalef_ps((__m512)x, (__m512)n); }
// x where bit i of bits is set, else 0
inline vf keep(vf x, uint32_t bits) { return (vf)_mm512_maskz_mov_ps(static_cast<__mmask16>(bits), (__m512)x); }
inline void store_int8(int8_t* p, vf v, int64_t n) { _mm_mask_storeu_epi8(p, first(n), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32((__m512)v))); }

#else

constexpr int W = 8;
typedef float vf __attribute__((vector_size(32)));
typedef int32_t vi __attribute__((vector_size(32)));

inline vf set(float x) { return (vf)_mm256_set1_ps(x); }
inline vf load(const float* p) { return (vf)_mm256_loadu_ps(p); }
inline vf load(const bf16* p) { return (vf)_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)), 16)); }
inline vf load(const f16* p) { return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }
inline vf load(const int8_t* p) { return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p))); }
inline void store(float* p, vf v) { _mm256_storeu_ps(p, (__m256)v); }
inline void store(bf16* p, vf v) {
    __m256i u = _mm256_castps_si256((__m256)v);
    __m256i r = _mm256_srli_epi32(
        _mm256_add_epi32(u, _mm256_add_epi32(_mm256_set1_epi32(0x7FFF), _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1)))), 16);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps((__m256)v, (__m256)v, _CMP_UNORD_Q));
    r = _mm256_blendv_epi8(r, _mm256_or_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(0x40)), nan);
    _mm_storeu_si128((__m128i*)p, _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1)));
}
inline void store(f16* p, vf v) { _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)v, 0)); }
template <class T>
inline vf load(const T* p, int64_t n) {
    T part[W] = {};
    std::memcpy(part, p, static_cast<size_t>(n) * sizeof(T));
    return load(part);
}
template <class T>
inline void store(T* p, vf v, int64_t n) {
    T part[W];
    store(part, v);
    std::memcpy(p, part, static_cast<size_t>(n) * sizeof(T));
}
inline vf fma(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
inline vf max(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
inline vf min(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
inline vf abs(vf a) { return (vf)_mm256_andnot_ps(_mm256_set1_ps(-0.0f), (__m256)a); }
inline vf sqrt(vf a) { return (vf)_mm256_sqrt_ps((__m256)a); }
inline vf round_even(vf a) { return (vf)_mm256_round_ps((__m256)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline float sum(vf a) { return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7])); }
inline vf sum_each(const vf* a) {
    __m256 four[2];
    for (int i = 0; i < 2; i++) {
        const __m256 *p = reinterpret_cast<const __m256*>(a) + 4 * i, x = _mm256_unpacklo_ps(p[0], p[1]) + _mm256_unpackhi_ps(p[0], p[1]),
                     y = _mm256_unpacklo_ps(p[2], p[3]) + _mm256_unpackhi_ps(p[2], p[3]);
        four[i] = _mm256_shuffle_ps(x, y, 0x44) + _mm256_shuffle_ps(x, y, 0xEE);
    }
    return (vf)(_mm256_permute2f128_ps(four[0], four[1], 0x20) + _mm256_permute2f128_ps(four[0], four[1], 0x31));
}
inline float largest(vf a) {
    float m = a[0];
    for (int i = 1; i < W; i++) m = a[i] > m ? a[i] : m;
    return m;
}
inline vf scale2(vf x, vf n) {
    // Two factors, so that results below the smallest normal number do not wrap around.
    vi e = (vi)_mm256_cvtps_epi32((__m256)n);
    vi half = e >> 1;
    return x * (vf)((half + 127) << 23) * (vf)((e - half + 127) << 23);
}
inline vf keep(vf x, uint32_t bits) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i on = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane), lane);
    return (vf)_mm256_and_ps((__m256)x, _mm256_castsi256_ps(on));
}
inline void store_int8(int8_t* p, vf v, int64_t n) {
    vi i = (vi)_mm256_cvtps_epi32((__m256)v);
    for (int64_t k = 0; k < n; k++) p[k] = static_cast<int8_t>(i[k]);
}

#endif

// e^x within 1e-7 of relative error: 2^n times a polynomial of degree 6 on [-ln2/2, ln2/2]. Very small x give 0.
inline vf exp(vf x) {
    // In this order of operands a NaN stays NaN.
    x = max(set(-104.0f), min(set(88.72f), x));
    const vf n = round_even(x * set(1.44269504088896341f));
    vf r = fma(n, set(-0.693359375f), x);
    r = fma(n, set(2.12194440e-4f), r);
    vf p = set(1.9875691500e-4f);
    p = fma(p, r, set(1.3981999507e-3f));
    p = fma(p, r, set(8.3334519073e-3f));
    p = fma(p, r, set(4.1665795894e-2f));
    p = fma(p, r, set(1.6666665459e-1f));
    p = fma(p, r, set(5.0000001201e-1f));
    p = fma(p, r * r, r + set(1.0f));
    return scale2(p, n);
}

// In place of a count n: all elements of the vector.
struct Whole {};
template <class T>
inline vf load(const T* p, Whole) {
    return load(p);
}
template <class T>
inline void store(T* p, vf v, Whole) {
    store(p, v);
}
inline void store_int8(int8_t* p, vf v, Whole) { store_int8(p, v, W); }

// f(i, Whole{}) for whole vectors of n elements, then f(i, rest).
template <class F>
inline void for_vectors(int64_t n, F&& f) {
    int64_t i = 0;
    for (; i + W <= n; i += W) f(i, Whole{});
    if (i < n) f(i, n - i);
}

}  // namespace so8t::SO8T_ISA
