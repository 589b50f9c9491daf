// What the three attention operations share.
#pragma once

#include "weight.h"

namespace so8t::SO8T_ISA {

// Sequences are padded to whole vectors; to 32 rows where oneDNN needs a primitive for each shape.
template <class T>
int64_t padding(const Worker& w) {
    return packs<T>(w) ? 16 : 32;
}

struct Shape {
    int64_t rows, sequences, heads, kv_heads, head_dim, window;
    float scale;
};

template <class P>
Shape shape_of(const P& p) {
    return {p.rows, p.sequences, p.heads, p.kv_heads, p.head_dim, p.window, static_cast<float>(p.scale)};
}

// The right operand of several products: packed once if the thread multiplies packed panels.
template <class T>
struct Operand {
    const T* b;
    int64_t ld, n, k;
    bool turned;  // b is [n, k]
    const T* packed = nullptr;

    // to: packed_size(n, k) elements, used if the thread packs
    Operand(Worker& w, const T* from, int64_t stride, int64_t columns, int64_t depth, bool turn, T* to)
        : b(from), ld(stride), n(columns), k(depth), turned(turn) {
        if constexpr (sizeof(T) == 2) {
            if (!packs<T>(w)) return;
            if (turned) {
                pack_nk(b, ld, n, k, to);
            } else {
                pack_kn(b, ld, n, k, to);
            }
            packed = to;
        }
    }

    // c[m, n] = a[m, k] B (+ c)
    void multiply(Worker& w, int64_t m, const T* a, int64_t lda, float* c, int64_t ldc, bool accumulate) const {
        if constexpr (sizeof(T) == 2) {
            if (packed) {
                multiply_packed(m, n, k, a, lda, packed, c, ldc, accumulate);
                return;
            }
        }
        SO8T_ISA::multiply<T>(w, {m, n, k, dtype_of<T>(), a, lda, false, b, ld, turned, c, ldc, accumulate});
    }
};

// Columns [column, column + head_dim) of rows [first, first + n), rows up to `padded` zero.
template <class T>
void copy_head(const View& x, int64_t first, int64_t n, int64_t column, int64_t head_dim, T* y, int64_t padded);

}  // namespace so8t::SO8T_ISA
