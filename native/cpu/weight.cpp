#include "weight.h"

#include <algorithm>

namespace so8t::SO8T_ISA {

namespace {

void expand(const int8_t* q, vf scale, int64_t n, float* y) {
    for_vectors(n, [&](int64_t j, auto k) { store(y + j, load(q + j, k) * scale, k); });
}

void expand(const int8_t* q, vf scale, int64_t n, bf16* y) {
    int64_t j = 0;
#if defined(__AVX512BF16__)
    for (; j + 32 <= n; j += 32) _mm512_storeu_si512(y + j, (__m512i)_mm512_cvtne2ps_pbh((__m512)(load(q + j + 16) * scale), (__m512)(load(q + j) * scale)));
#endif
    for_vectors(n - j, [&](int64_t i, auto k) { store(y + j + i, load(q + j + i, k) * scale, k); });
}

template <class X, class T>
void convert(const X* x, int64_t n, T* y) {
    for_vectors(n, [&](int64_t j, auto k) { store(y + j, load(x + j, k), k); });
}

}  // namespace

namespace {

// A part of the weight in the compute type: in place if it has that type, else an expanded copy.
template <class T>
const T* part_of(const Weight& weight, int64_t row, int64_t rows, int64_t column, int64_t columns, Worker& w, int64_t& stride) {
    if (weight.w.dtype == dtype_of<T>()) {
        stride = weight.w.stride;
        return weight.w.row<T>(row) + column;
    }
    T* part = w.take<T>(rows * columns);
    stride = columns;
    for (int64_t i = 0; i < rows; i++) {
        T* y = part + i * columns;
        if (weight.w.dtype == SO8T_INT8) {
            expand(weight.w.row<int8_t>(row + i) + column, set(weight.absmax[row + i] / 127.0f), columns, y);
        } else if (weight.w.dtype == SO8T_BFLOAT16) {
            convert(weight.w.row<bf16>(row + i) + column, columns, y);
        } else {
            convert(weight.w.row<float>(row + i) + column, columns, y);
        }
    }
    return part;
}

template <class T>
const bf16* packable(const T* p) {
    return reinterpret_cast<const bf16*>(p);
}

}  // namespace

float* scales_of(const Weight& weight, int64_t row, int64_t rows, Worker& w) {
    float* scale = w.take<float>(rows);
    for (int64_t i = 0; i < rows; i++) scale[i] = weight.absmax[row + i] / 127.0f;
    return scale;
}

template <class T>
void times_rows(Worker& w, const Weight& weight, int64_t row, int64_t n, const View& x, int64_t first, int64_t m, float* c) {
    Worker::Mark mark = w.mark();
    if (packs<T>(w)) {
        bf16* packed = w.take<bf16>(packed_size(n, std::min(weight.in, kPackedDepth)));
        const float* scale = weight.absmax ? scales_of(weight, row, n, w) : nullptr;
        for (int64_t k0 = 0; k0 < weight.in; k0 += kPackedDepth) {
            const int64_t k = std::min(kPackedDepth, weight.in - k0);
            if (weight.w.dtype == SO8T_INT8) {
                pack_nk(weight.w.row<int8_t>(row) + k0, weight.w.stride, scale, n, k, packed);
            } else if (weight.w.dtype == SO8T_BFLOAT16) {
                pack_nk(weight.w.row<bf16>(row) + k0, weight.w.stride, n, k, packed);
            } else {
                pack_nk(weight.w.row<float>(row) + k0, weight.w.stride, n, k, packed);
            }
            multiply_packed(m, n, k, packable(x.row<T>(first) + k0), x.stride, packed, c, n, k0 > 0);
        }
    } else {
        int64_t stride;
        const T* b = part_of<T>(weight, row, n, 0, weight.in, w, stride);
        multiply<T>(w, {m, n, weight.in, dtype_of<T>(), x.row<T>(first), x.stride, false, b, stride, true, c, n, false});
    }
    w.release(mark);
}
template void times_rows<float>(Worker&, const Weight&, int64_t, int64_t, const View&, int64_t, int64_t, float*);
template void times_rows<bf16>(Worker&, const Weight&, int64_t, int64_t, const View&, int64_t, int64_t, float*);

template <class T>
void times_columns(Worker& w, const Weight& weight, int64_t column, int64_t n, const View& dy, int64_t first, int64_t m, float* c) {
    Worker::Mark mark = w.mark();
    if (packs<T>(w)) {
        bf16* packed = w.take<bf16>(packed_size(n, std::min(weight.out, kPackedDepth)));
        const float* scale = weight.absmax ? scales_of(weight, 0, weight.out, w) : nullptr;
        for (int64_t k0 = 0; k0 < weight.out; k0 += kPackedDepth) {
            const int64_t k = std::min(kPackedDepth, weight.out - k0);
            if (weight.w.dtype == SO8T_INT8) {
                pack_kn(weight.w.row<int8_t>(k0) + column, weight.w.stride, scale + k0, n, k, packed);
            } else if (weight.w.dtype == SO8T_BFLOAT16) {
                pack_kn(weight.w.row<bf16>(k0) + column, weight.w.stride, n, k, packed);
            } else {
                pack_kn(weight.w.row<float>(k0) + column, weight.w.stride, n, k, packed);
            }
            multiply_packed(m, n, k, packable(dy.row<T>(first) + k0), dy.stride, packed, c, n, k0 > 0);
        }
    } else {
        int64_t stride;
        const T* b = part_of<T>(weight, 0, weight.out, column, n, w, stride);
        multiply<T>(w, {m, n, weight.out, dtype_of<T>(), dy.row<T>(first), dy.stride, false, b, stride, false, c, n, false});
    }
    w.release(mark);
}
template void times_columns<float>(Worker&, const Weight&, int64_t, int64_t, const View&, int64_t, int64_t, float*);
template void times_columns<bf16>(Worker&, const Weight&, int64_t, int64_t, const View&, int64_t, int64_t, float*);

template <class T>
void transpose(const T* x, int64_t stride, int64_t rows, int64_t columns, T* y, int64_t y_stride, int64_t padded) {
    constexpr int64_t B = 32;
    for (int64_t i0 = 0; i0 < padded; i0 += B) {
        const int64_t i1 = i0 + B < padded ? i0 + B : padded;
        for (int64_t j0 = 0; j0 < columns; j0 += B) {
            const int64_t j1 = j0 + B < columns ? j0 + B : columns;
            for (int64_t j = j0; j < j1; j++) {
                for (int64_t i = i0; i < i1; i++) y[j * y_stride + i] = i < rows ? x[i * stride + j] : T{};
            }
        }
    }
}
template void transpose(const float*, int64_t, int64_t, int64_t, float*, int64_t, int64_t);
template void transpose(const bf16*, int64_t, int64_t, int64_t, bf16*, int64_t, int64_t);

View rounded(Context& c, const View& x, int64_t rows, int64_t columns, bf16* copy) {
    const int64_t per = rows_per_unit(columns);
    c.parallel(ceil_div(rows, per), [&](int64_t unit, Worker&) {
        for (int64_t i = unit * per; i < rows && i < (unit + 1) * per; i++) convert(x.row<float>(i), columns, copy + i * columns);
    });
    return {reinterpret_cast<char*>(copy), columns, SO8T_BFLOAT16};
}

}  // namespace so8t::SO8T_ISA
