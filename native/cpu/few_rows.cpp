// Each sum is a vector along the inner dimension, one chain of additions in order, so that it does not depend on how many
// rows share the weight. As many sums as a vector has lanes stay in registers; one transposition reduces them all.
#include "few_rows.h"

#include <algorithm>
#include <type_traits>

namespace so8t::SO8T_ISA {

namespace {

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
void along(int64_t n, F&& f) {
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

// sums[r * N + o] = x_r w_o for M rows and N outputs, N M at most W
template <class E, int N, int M, class Q>
vf block(Rows<Q> w, Rows<E> x, int64_t in) {
    using V = Vector<E>;
    vf sums[W];
    for (vf& s : sums) s = set(0);
    along<E>(in, [&](int64_t k, auto n) {
        typename V::type v[M];
        for (int r = 0; r < M; r++) v[r] = V::load(x.row(r) + k, n);
        for (int o = 0; o < N; o++) {
            const typename V::type q = V::load(w.row(o) + k, n);
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
        float s[W];
        store(s, sums);
        for (int r = 0; r < M; r++) {
            for (int o = 0; o < N; o++) {
                const float y = scale ? s[r * N + o] * scale[o] : s[r * N + o];
                c[r * ldc + o] = accumulate ? c[r * ldc + o] + y : y;
            }
        }
    }
};

// M rows by n outputs, N at a time.
template <class E, int N, int M, class Q>
void outputs(Rows<Q> w, int64_t n, Rows<E> x, int64_t in, Result c) {
    int64_t o = 0;
    for (; o + N <= n; o += N) c.at(0, o).template put<N, M>(block<E, N, M>(Rows<Q>{w.row(o), w.stride}, x, in));
    for (; o < n; o++) c.at(0, o).template put<1, M>(block<E, 1, M>(Rows<Q>{w.row(o), w.stride}, x, in));
}

constexpr int64_t kOutputs = 4, kRows = W / kOutputs;  // of a block of many rows

// Up to kRows rows share a weight that is expanded in registers.
template <class E, class Q>
void rows(int64_t m, Rows<Q> w, int64_t n, Rows<E> x, int64_t in, Result c) {
    switch (m) {
        case 1: return outputs<E, W, 1>(w, n, x, in, c);
        case 2: return outputs<E, W / 2, 2>(w, n, x, in, c);
        case 3: return outputs<E, W / 4, std::min<int>(3, kRows)>(w, n, x, in, c);
        default: return outputs<E, W / 4, std::min<int>(4, kRows)>(w, n, x, in, c);
    }
}

// More rows: a few outputs of the weight are expanded into memory that stays in the L1 cache.
template <class E, class Q>
void more_rows(Worker& worker, int64_t m, Rows<Q> w, int64_t n, Rows<E> x, int64_t in, Result c) {
    const int64_t stride = round_up(in, 32);
    E* copy = std::is_same_v<E, Q> ? nullptr : worker.take<E>(kOutputs * stride);
    for (int64_t o = 0; o < n; o += kOutputs) {
        const int64_t some = std::min(kOutputs, n - o);
        Rows<E> panel{copy, stride};
        if constexpr (std::is_same_v<E, Q>) {
            panel = {w.row(o), w.stride};
        } else {
            for (int64_t i = 0; i < some; i++) along<E>(in, [&](int64_t k, auto left) { Vector<E>::store(copy + i * stride + k, Vector<E>::load(w.row(o + i) + k, left), left); });
        }
        int64_t r = 0;
        for (; r + kRows <= m; r += kRows) outputs<E, kOutputs, kRows>(panel, some, Rows<E>{x.row(r), x.stride}, in, c.at(r, o));
        for (; r < m; r++) outputs<E, kOutputs, 1>(panel, some, Rows<E>{x.row(r), x.stride}, in, c.at(r, o));
    }
}

template <class E, class Q>
void by_rows(Worker& worker, int64_t m, Rows<Q> w, int64_t n, Rows<E> x, int64_t in, Result c) {
    if (m <= kRows) {
        rows<E>(m, w, n, x, in, c);
    } else {
        more_rows<E>(worker, m, w, n, x, in, c);
    }
}

// x in the type E.
template <class E, class T>
Rows<E> converted(Worker& w, const View& x, int64_t m, int64_t in) {
    if constexpr (std::is_same_v<E, T>) {
        return {x.row<T>(0), x.stride};
    } else {
        E* copy = w.take<E>(m * in);
        for (int64_t i = 0; i < m; i++) {
            for_vectors(in, [&](int64_t j, auto n) { store(copy + i * in + j, load(x.row<T>(i) + j, n), n); });
        }
        return {copy, in};
    }
}

}  // namespace

template <class T>
void few_rows(Worker& w, const Weight& weight, int64_t row, int64_t n, const View& x, int64_t m, float* c, int64_t ldc, bool accumulate) {
    using E = Multiplied<T>;
    const Worker::Mark mark = w.mark();
    Result to{c, ldc, nullptr, accumulate};
    if (weight.w.dtype == SO8T_INT8) {
        to.scale = scales_of(weight, row, n, w);
        by_rows<E>(w, m, Rows<int8_t>{weight.w.row<int8_t>(row), weight.w.stride}, n, converted<E, T>(w, x, m, weight.in), weight.in, to);
    } else if (weight.w.dtype == SO8T_BFLOAT16) {
        by_rows<E>(w, m, Rows<bf16>{weight.w.row<bf16>(row), weight.w.stride}, n, converted<E, T>(w, x, m, weight.in), weight.in, to);
    } else {
        by_rows<float>(w, m, Rows<float>{weight.w.row<float>(row), weight.w.stride}, n, converted<float, T>(w, x, m, weight.in), weight.in, to);
    }
    w.release(mark);
}
template void few_rows<float>(Worker&, const Weight&, int64_t, int64_t, const View&, int64_t, float*, int64_t, bool);
template void few_rows<bf16>(Worker&, const Weight&, int64_t, int64_t, const View&, int64_t, float*, int64_t, bool);

}  // namespace so8t::SO8T_ISA
