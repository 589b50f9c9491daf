// Philox4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): counters in 64-bit lanes whose upper
// halves hold remains of the products and are never read.
#include "masks.h"

namespace so8t::SO8T_ISA {

namespace {

#if defined(__AVX512F__)

// Which of 128 columns are kept, from counter `at` on.
inline void keep128(const Dropout& d, uint32_t at, uint32_t position, uint32_t sample, uint32_t words[4]) {
    const __m512i m0 = _mm512_set1_epi64(kPhiloxM0), m1 = _mm512_set1_epi64(kPhiloxM1), low = _mm512_set1_epi64(0xFFFFFFFF);
    __m512i c0[2], c1[2], c2[2], c3[2];
    const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    for (int i = 0; i < 2; i++) {
        c0[i] = _mm512_add_epi64(_mm512_set1_epi64(at + 8u * static_cast<uint32_t>(i)), lanes);
        c1[i] = _mm512_set1_epi64(position);
        c2[i] = _mm512_set1_epi64(sample);
        c3[i] = _mm512_setzero_si512();
    }
    uint32_t k0 = d.key[0], k1 = d.key[1];
    for (int round = 0; round < 10; round++) {
        const __m512i v0 = _mm512_set1_epi64(k0), v1 = _mm512_set1_epi64(k1);
        for (int i = 0; i < 2; i++) {
            const __m512i p0 = _mm512_mul_epu32(c0[i], m0), p1 = _mm512_mul_epu32(c2[i], m1);
            c0[i] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c1[i], v0, 0x96);
            c1[i] = p1;
            c2[i] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c3[i], v1, 0x96);
            c3[i] = p0;
        }
        k0 += kPhiloxW0;
        k1 += kPhiloxW1;
    }
    const __m512i threshold = _mm512_set1_epi16(static_cast<short>(d.threshold));
    const __m512i first_half = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), second_half = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    for (int i = 0; i < 2; i++) {
        const __m512i a = _mm512_or_si512(_mm512_and_si512(c0[i], low), _mm512_slli_epi64(c1[i], 32));
        const __m512i b = _mm512_or_si512(_mm512_and_si512(c2[i], low), _mm512_slli_epi64(c3[i], 32));
        words[2 * i] = _mm512_cmpge_epu16_mask(_mm512_permutex2var_epi64(a, first_half, b), threshold);
        words[2 * i + 1] = _mm512_cmpge_epu16_mask(_mm512_permutex2var_epi64(a, second_half, b), threshold);
    }
}

#else

inline void keep128(const Dropout& d, uint32_t at, uint32_t position, uint32_t sample, uint32_t words[4]) {
    const __m256i m0 = _mm256_set1_epi64x(kPhiloxM0), m1 = _mm256_set1_epi64x(kPhiloxM1), low = _mm256_set1_epi64x(0xFFFFFFFF);
    const __m256i threshold = _mm256_set1_epi16(static_cast<short>(d.threshold));
    for (int i = 0; i < 4; i++) {
        __m256i c0 = _mm256_add_epi64(_mm256_set1_epi64x(at + 4u * static_cast<uint32_t>(i)), _mm256_setr_epi64x(0, 1, 2, 3));
        __m256i c1 = _mm256_set1_epi64x(position), c2 = _mm256_set1_epi64x(sample), c3 = _mm256_setzero_si256();
        uint32_t k0 = d.key[0], k1 = d.key[1];
        for (int round = 0; round < 10; round++) {
            const __m256i p0 = _mm256_mul_epu32(c0, m0), p1 = _mm256_mul_epu32(c2, m1);
            c0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), c1), _mm256_set1_epi64x(k0));
            c1 = p1;
            c2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), c3), _mm256_set1_epi64x(k1));
            c3 = p0;
            k0 += kPhiloxW0;
            k1 += kPhiloxW1;
        }
        const __m256i a = _mm256_or_si256(_mm256_and_si256(c0, low), _mm256_slli_epi64(c1, 32));
        const __m256i b = _mm256_or_si256(_mm256_and_si256(c2, low), _mm256_slli_epi64(c3, 32));
        // even holds counters 0 and 2, odd 1 and 3; a >= threshold where max(a, threshold) = a.
        const __m256i even = _mm256_unpacklo_epi64(a, b), odd = _mm256_unpackhi_epi64(a, b);
        const __m256i e = _mm256_cmpeq_epi16(_mm256_max_epu16(even, threshold), even), o = _mm256_cmpeq_epi16(_mm256_max_epu16(odd, threshold), odd);
        words[i] = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_packs_epi16(e, o)));
    }
}

#endif

}  // namespace

void keep_bits(const Dropout& d, int64_t row, int64_t begin, int64_t n, uint32_t* words) {
    const uint32_t position = static_cast<uint32_t>(d.position[row]), sample = static_cast<uint32_t>(d.sample[row]);
    int64_t j = 0;
    for (; j + 128 <= n; j += 128) keep128(d, static_cast<uint32_t>((begin + j) / 8), position, sample, words + j / 32);
    if (j < n) {
        uint32_t last[4];
        keep128(d, static_cast<uint32_t>((begin + j) / 8), position, sample, last);
        for (int64_t k = 0; k < ceil_div(n - j, 32); k++) words[j / 32 + k] = last[k];
    }
}

void copy_kept(const float* x, float* y, int64_t n, const uint32_t* words) {
    for_vectors(n, [&](int64_t j, auto k) { store(y + j, keep(load(x + j, k), words[j / 32] >> (j % 32)), k); });
}

void copy_kept(const bf16* x, bf16* y, int64_t n, const uint32_t* words) {
#if defined(__AVX512F__)
    int64_t j = 0;
    for (; j + 32 <= n; j += 32) _mm512_storeu_si512(y + j, _mm512_maskz_mov_epi16(words[j / 32], _mm512_loadu_si512(x + j)));
    if (j < n) {
        const __mmask32 inside = (1u << (n - j)) - 1;
        _mm512_mask_storeu_epi16(y + j, inside, _mm512_maskz_loadu_epi16(words[j / 32] & inside, x + j));
    }
#else
    for_vectors(n, [&](int64_t j, auto k) { store(y + j, keep(load(x + j, k), words[j / 32] >> (j % 32)), k); });
#endif
}

}  // namespace so8t::SO8T_ISA
