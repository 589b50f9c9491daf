#include "multiply.h"

#include <algorithm>
#include <cstring>

namespace so8t::SO8T_ISA {

#if defined(__AVX512BF16__)

namespace {

// Elements 2 k and 2 k + 1 of a row; the second of an odd length is 0.
template <bool Odd>
inline int32_t pair_at(const bf16* row, int64_t k, int64_t pairs) {
    if (Odd && k + 1 == pairs) return row[2 * k].bits;
    int32_t pair;
    std::memcpy(&pair, row + 2 * k, 4);
    return pair;
}

// MR rows of A by 16 NV columns of B: all sums stay in registers for the whole inner dimension.
template <int MR, int NV, bool Odd>
void block(int64_t pairs, const bf16* a, int64_t lda, const bf16* b, float* c, int64_t ldc, int64_t n, bool accumulate) {
    __m512 sum[MR][NV];
    const __mmask16 last = n >= 16 * NV ? 0xFFFF : static_cast<__mmask16>((1u << (n - 16 * (NV - 1))) - 1);
    const __mmask16 before = accumulate ? 0xFFFF : 0;
    for (int i = 0; i < MR; i++) {
        for (int j = 0; j < NV; j++) sum[i][j] = _mm512_maskz_loadu_ps(j + 1 < NV ? before : before & last, c + i * ldc + 16 * j);
    }
    for (int64_t k = 0; k < pairs; k++) {
        __m512i v[NV];
        for (int j = 0; j < NV; j++) v[j] = _mm512_load_si512(b + k * 128 + j * 32);
        for (int i = 0; i < MR; i++) {
            const __m512i x = _mm512_set1_epi32(pair_at<Odd>(a + i * lda, k, pairs));
            for (int j = 0; j < NV; j++) sum[i][j] = _mm512_dpbf16_ps(sum[i][j], (__m512bh)x, (__m512bh)v[j]);
        }
    }
    for (int i = 0; i < MR; i++) {
        for (int j = 0; j + 1 < NV; j++) _mm512_storeu_ps(c + i * ldc + 16 * j, sum[i][j]);
        _mm512_mask_storeu_ps(c + i * ldc + 16 * (NV - 1), last, sum[i][NV - 1]);
    }
}

template <int MR, bool Odd>
void rows(int64_t n, int64_t pairs, const bf16* a, int64_t lda, const bf16* packed, int64_t stride, float* c, int64_t ldc, bool accumulate) {
    for (int64_t j = 0; j < n; j += 64, packed += stride) {
        const int64_t left = n - j;
        if (left > 48) {
            block<MR, 4, Odd>(pairs, a, lda, packed, c + j, ldc, left, accumulate);
        } else if (left > 32) {
            block<MR, 3, Odd>(pairs, a, lda, packed, c + j, ldc, left, accumulate);
        } else if (left > 16) {
            block<MR, 2, Odd>(pairs, a, lda, packed, c + j, ldc, left, accumulate);
        } else {
            block<MR, 1, Odd>(pairs, a, lda, packed, c + j, ldc, left, accumulate);
        }
    }
}

// Six rows pass over all columns, so that A is read from memory once; B comes from the L2 cache each time.
template <bool Odd>
void all_rows(int64_t m, int64_t n, int64_t k, const bf16* a, int64_t lda, const bf16* packed, int64_t stride, float* c, int64_t ldc, bool accumulate) {
    const int64_t pairs = ceil_div(k, 2);
    int64_t i = 0;
    for (; i + 6 <= m; i += 6) {
        const int64_t ahead = std::min<int64_t>(6, m - i - 6);
        for (int64_t r = 0; r < ahead; r++) {
            const char* next = reinterpret_cast<const char*>(a + (i + 6 + r) * lda);
            for (int64_t at = 0; at < k * 2; at += 64) _mm_prefetch(next + at, _MM_HINT_T1);
        }
        rows<6, Odd>(n, pairs, a + i * lda, lda, packed, stride, c + i * ldc, ldc, accumulate);
    }
    a += i * lda;
    c += i * ldc;
    switch (m - i) {
        case 1: return rows<1, Odd>(n, pairs, a, lda, packed, stride, c, ldc, accumulate);
        case 2: return rows<2, Odd>(n, pairs, a, lda, packed, stride, c, ldc, accumulate);
        case 3: return rows<3, Odd>(n, pairs, a, lda, packed, stride, c, ldc, accumulate);
        case 4: return rows<4, Odd>(n, pairs, a, lda, packed, stride, c, ldc, accumulate);
        case 5: return rows<5, Odd>(n, pairs, a, lda, packed, stride, c, ldc, accumulate);
    }
}

// 32 elements of a row as bfloat16; beyond n zeros.
inline __m512i row32(const bf16* p, float, int64_t n) { return _mm512_maskz_loadu_epi16(n >= 32 ? ~0u : (1u << n) - 1, p); }
inline __m512i row32(const int8_t* p, float scale, int64_t n) {
    const __m256i q = _mm256_maskz_loadu_epi8(n >= 32 ? ~0u : (1u << n) - 1, p);
    const __m512 s = _mm512_set1_ps(scale);
    const __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(q))),
                 high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(q, 1)));
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(high, s), _mm512_mul_ps(low, s));
}
inline __m512i row32(const float* p, float, int64_t n) {
    const uint32_t mask = n >= 32 ? ~0u : (1u << n) - 1;
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), p + 16),
                                        _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), p));
}

// r[i] lane j becomes r[j] lane i, for 16 by 16 numbers of 32 bits.
inline void transpose16(__m512i r[16]) {
    __m512i t[16];
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {
        r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0x88);
        t[4 + i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0xDD);
        t[8 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0x88);
        t[12 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0xDD);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
        r[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xDD);
        r[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88);
        r[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xDD);
    }
}

template <class Q>
void pack_by_columns(const Q* b, int64_t ld, const float* scale, int64_t n, int64_t k, bf16* packed) {
    const int64_t pairs = ceil_div(k, 2);
    for (int64_t n0 = 0; n0 < n; n0 += 16) {
        bf16* out = packed + n0 / 64 * pairs * 128 + n0 % 64 * 2;
        const int64_t rows = std::min<int64_t>(16, n - n0);
        for (int64_t k0 = 0; k0 < k; k0 += 32) {
            if (k0 * static_cast<int64_t>(sizeof(Q)) % 64 == 0) {  // the next sixteen rows
                for (int64_t i = 16; i < 32; i++) _mm_prefetch(reinterpret_cast<const char*>(b + (n0 + i) * ld + k0), _MM_HINT_T0);
            }
            __m512i r[16];
            for (int64_t i = 0; i < 16; i++) {
                r[i] = i < rows ? row32(b + (n0 + i) * ld + k0, scale ? scale[n0 + i] : 1.0f, k - k0) : _mm512_setzero_si512();
            }
            transpose16(r);
            const int64_t inside = std::min<int64_t>(16, pairs - k0 / 2);
            for (int64_t i = 0; i < inside; i++) _mm512_store_si512(out + (k0 / 2 + i) * 128, r[i]);
        }
    }
}

template <class Q>
void pack_by_rows(const Q* b, int64_t ld, const float* scale, int64_t n, int64_t k, bf16* packed) {
    const int64_t pairs = ceil_div(k, 2);
    // Words 0, 32, 1, 33 ...: one of each row in turn.
    alignas(64) uint16_t order[2][32];
    for (uint16_t i = 0; i < 32; i++) {
        order[0][i] = static_cast<uint16_t>(i / 2 + i % 2 * 32);
        order[1][i] = static_cast<uint16_t>(16 + i / 2 + i % 2 * 32);
    }
    const __m512i first = _mm512_load_si512(order[0]), second = _mm512_load_si512(order[1]);
    for (int64_t p = 0; p < pairs; p++) {
        const Q* row = b + 2 * p * ld;
        const float s0 = scale ? scale[2 * p] : 1.0f, s1 = scale && 2 * p + 1 < k ? scale[2 * p + 1] : 1.0f;
        // Rows are too far apart for the hardware to prefetch.
        for (int64_t j = 0; j < n; j += static_cast<int64_t>(64 / sizeof(Q))) {
            _mm_prefetch(reinterpret_cast<const char*>(row + 24 * ld + j), _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char*>(row + 25 * ld + j), _MM_HINT_T0);
        }
        for (int64_t j = 0; j < n; j += 32) {
            const __m512i x = row32(row + j, s0, n - j), y = 2 * p + 1 < k ? row32(row + ld + j, s1, n - j) : _mm512_setzero_si512();
            bf16* out = packed + j / 64 * pairs * 128 + p * 128 + j % 64 * 2;
            _mm512_store_si512(out, _mm512_permutex2var_epi16(x, first, y));
            _mm512_store_si512(out + 32, _mm512_permutex2var_epi16(x, second, y));
        }
    }
}

}  // namespace

void pack_nk(const bf16* b, int64_t ld, int64_t n, int64_t k, bf16* packed) { pack_by_columns(b, ld, nullptr, n, k, packed); }
void pack_kn(const bf16* b, int64_t ld, int64_t n, int64_t k, bf16* packed) { pack_by_rows(b, ld, nullptr, n, k, packed); }
void pack_nk(const int8_t* b, int64_t ld, const float* scale, int64_t n, int64_t k, bf16* packed) { pack_by_columns(b, ld, scale, n, k, packed); }
void pack_kn(const int8_t* b, int64_t ld, const float* scale, int64_t n, int64_t k, bf16* packed) { pack_by_rows(b, ld, scale, n, k, packed); }
void pack_nk(const float* b, int64_t ld, int64_t n, int64_t k, bf16* packed) { pack_by_columns(b, ld, nullptr, n, k, packed); }
void pack_kn(const float* b, int64_t ld, int64_t n, int64_t k, bf16* packed) { pack_by_rows(b, ld, nullptr, n, k, packed); }

void multiply_packed(int64_t m, int64_t n, int64_t k, const bf16* a, int64_t lda, const bf16* packed, float* c, int64_t ldc, bool accumulate, int64_t depth) {
    const int64_t stride = ceil_div(depth ? depth : k, 2) * 128;
    if (k % 2) {
        all_rows<true>(m, n, k, a, lda, packed, stride, c, ldc, accumulate);
    } else {
        all_rows<false>(m, n, k, a, lda, packed, stride, c, ldc, accumulate);
    }
}

template <>
bool packs<bf16>(const Worker& w) {
    return w.packs;
}

#else

void pack_nk(const bf16*, int64_t, int64_t, int64_t, bf16*) {}
void pack_kn(const bf16*, int64_t, int64_t, int64_t, bf16*) {}
void pack_nk(const int8_t*, int64_t, const float*, int64_t, int64_t, bf16*) {}
void pack_kn(const int8_t*, int64_t, const float*, int64_t, int64_t, bf16*) {}
void pack_nk(const float*, int64_t, int64_t, int64_t, bf16*) {}
void pack_kn(const float*, int64_t, int64_t, int64_t, bf16*) {}
void multiply_packed(int64_t, int64_t, int64_t, const bf16*, int64_t, const bf16*, float*, int64_t, bool, int64_t) {}

template <>
bool packs<bf16>(const Worker&) {
    return false;
}

#endif

template <>
bool packs<float>(const Worker&) {
    return false;
}

namespace {

// oneDNN needs a primitive for each m, which varies from call to call: split into a multiple of 16 and a padded rest.
template <class T>
void by_primitives(Worker& w, Gemm g) {
    const int64_t rest = g.m % 16;
    if (g.transpose_a || rest == 0) {
        gemm(w, g);
        return;
    }
    const T* a = static_cast<const T*>(g.a) + (g.m - rest) * g.lda;
    float* c = g.c + (g.m - rest) * g.ldc;
    g.m -= rest;
    gemm(w, g);
    Worker::Mark mark = w.mark();
    T* padded = w.take<T>(16 * g.k);
    std::memset(static_cast<void*>(padded), 0, static_cast<size_t>(16 * g.k) * sizeof(T));
    for (int64_t i = 0; i < rest; i++) std::memcpy(static_cast<void*>(padded + i * g.k), a + i * g.lda, static_cast<size_t>(g.k) * sizeof(T));
    g.m = 16;
    g.a = padded;
    g.lda = g.k;
    g.c = c;
    gemm(w, g);
    w.release(mark);
}

}  // namespace

template <>
void multiply<float>(Worker& w, Gemm g) {
    by_primitives<float>(w, g);
}

template <>
void multiply<bf16>(Worker& w, Gemm g) {
    if (!packs<bf16>(w) || g.transpose_a) {
        by_primitives<bf16>(w, g);
        return;
    }
    const bf16 *a = static_cast<const bf16*>(g.a), *b = static_cast<const bf16*>(g.b);
    Worker::Mark mark = w.mark();
    bf16* packed = w.take<bf16>(packed_size(g.n, std::min(g.k, kPackedDepth)));
    for (int64_t k0 = 0; k0 < g.k; k0 += kPackedDepth) {
        const int64_t k = std::min(kPackedDepth, g.k - k0);
        if (g.transpose_b) {
            pack_nk(b + k0, g.ldb, g.n, k, packed);
        } else {
            pack_kn(b + k0 * g.ldb, g.ldb, g.n, k, packed);
        }
        multiply_packed(g.m, g.n, k, a + k0, g.lda, packed, g.c, g.ldc, g.accumulate || k0 > 0);
    }
    w.release(mark);
}

}  // namespace so8t::SO8T_ISA
