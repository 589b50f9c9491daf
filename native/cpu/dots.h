// Many dot products at once. Each sum is a vector along the inner dimension, one chain of additions in order, so that it does
// not depend on its neighbours; as many sums as a vector has lanes stay in registers, and one transposition reduces them all.
#pragma once

#include "simd.h"

namespace so8t::SO8T_ISA {

// How numbers of type E are multiplied: a vector of them, and sums in float32.
template <class E>
struct Vector {
    using type = vf;
    static constexpr int64_t size = W;
    template <class Q, class N>
    static vf load(const Q* p, N n) {
        return SO8T_ISA::load(p, n);
    }
    template <class N>
    static void store(E* p, vf v, N n) {
        SO8T_ISA::store(p, v, n);
    }
    static vf multiply_add(vf a, vf b, vf s) { return fma(a, b, s); }
};

#if defined(__AVX512BF16__)
// Two products a lane. An int8 is exact in bfloat16.
template <>
struct Vector<bf16> {
    using type = __m512bh;
    static constexpr int64_t size = 32;
    static __m512bh load(const bf16* p, Whole) { return (__m512bh)_mm512_loadu_si512(p); }
    static __m512bh load(const bf16* p, int64_t n) { return (__m512bh)_mm512_maskz_loadu_epi16((1u << n) - 1, p); }
    static __m512bh load(const int8_t* p, Whole) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
    static __m512bh load(const int8_t* p, int64_t n) { return widen(_mm256_maskz_loadu_epi8((1u << n) - 1, p)); }
    static void store(bf16* p, __m512bh v, Whole) { _mm512_storeu_si512(p, (__m512i)v); }
    static void store(bf16* p, __m512bh v, int64_t n) { _mm512_mask_storeu_epi16(p, (1u << n) - 1, (__m512i)v); }
    static vf multiply_add(__m512bh a, __m512bh b, vf s) { return (vf)_mm512_dpbf16_ps((__m512)s, a, b); }

private:
    static __m512bh widen(__m256i q) {
        return _mm512_cvtne2ps_pbh(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(q, 1))),
                                   _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(q))));
    }
};
template <class T>
using Multiplied = T;
#else
template <class T>
using Multiplied = float;
#endif

// f(k, Whole{}) for whole vectors of n numbers, then f(k, rest).
template <class E, class F>
__attribute__((always_inline)) inline void along(int64_t n, F&& f) {
    int64_t k = 0;
    for (; k + Vector<E>::size <= n; k += Vector<E>::size) f(k, Whole{});
    if (k < n) f(k, n - k);
}

// A matrix by rows.
template <class E>
struct Rows {
    const E* data;
    int64_t stride;
    const E* row(int64_t i) const { return data + i * stride; }
};

// sums[r * N + o] = x_r w_o for M rows and N outputs, N M at most W. Where w comes from memory, the next N rows are prefetched:
// short rows give the hardware's prefetchers too little to go by.
template <class E, int N, int M, bool FromMemory, class Q>
vf block(Rows<Q> w, Rows<E> x, int64_t in) {
    using V = Vector<E>;
    vf sums[W];
    for (vf& s : sums) s = set(0);
    // Inlined by force: else the sums live in memory.
    along<E>(
        in, [&](int64_t k, auto n) __attribute__((always_inline)) {
            typename V::type v[M];
            for (int r = 0; r < M; r++) v[r] = V::load(x.row(r) + k, n);
            const bool line = FromMemory && k * static_cast<int64_t>(sizeof(Q)) % 64 == 0;
            for (int o = 0; o < N; o++) {
                const typename V::type q = V::load(w.row(o) + k, n);
                if (line) _mm_prefetch(reinterpret_cast<const char*>(w.row(o + N) + k), _MM_HINT_T0);
                for (int r = 0; r < M; r++) sums[r * N + o] = V::multiply_add(v[r], q, sums[r * N + o]);
            }
        });
    return sum_each(sums);
}

struct Result {
    float* c;
    int64_t ldc;
    const float* scale;  // of each output; null: 1
    bool accumulate;

    Result at(int64_t row, int64_t output) const { return {c + row * ldc + output, ldc, scale ? scale + output : nullptr, accumulate}; }

    template <int N, int M>
    void put(vf sums) const {
        alignas(64) float s[W];
        store(s, sums);
        for (int r = 0; r < M; r++) {
            float* to = c + r * ldc;
            if constexpr (N % 4 == 0) {
                for (int o = 0; o < N; o += 4) {
                    __m128 y = _mm_load_ps(s + r * N + o);
                    if (scale) y = _mm_mul_ps(y, _mm_loadu_ps(scale + o));
                    if (accumulate) y = _mm_add_ps(y, _mm_loadu_ps(to + o));
                    _mm_storeu_ps(to + o, y);
                }
            } else {
                for (int o = 0; o < N; o++) {
                    const float y = scale ? s[r * N + o] * scale[o] : s[r * N + o];
                    to[o] = accumulate ? to[o] + y : y;
                }
            }
        }
    }
};

// M rows by n outputs, N at a time.
template <class E, int N, int M, bool FromMemory = false, class Q>
void outputs(Rows<Q> w, int64_t n, Rows<E> x, int64_t in, Result c) {
    int64_t o = 0;
    for (; o + N <= n; o += N) c.at(0, o).template put<N, M>(block<E, N, M, FromMemory>(Rows<Q>{w.row(o), w.stride}, x, in));
    for (; o < n; o++) c.at(0, o).template put<1, M>(block<E, 1, M, FromMemory>(Rows<Q>{w.row(o), w.stride}, x, in));
}

}  // namespace so8t::SO8T_ISA
