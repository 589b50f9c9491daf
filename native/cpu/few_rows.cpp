// A few rows of activations by rows of a weight, whose numbers are expanded once for all of them.
#include "few_rows.h"

#include <algorithm>
#include <type_traits>

#include "dots.h"

namespace so8t::SO8T_ISA {

namespace {

constexpr int64_t kOutputs = 4, kRows = W / kOutputs;  // of a block of many rows

// Up to kRows rows share a weight that is expanded in registers.
template <class E, bool FromMemory, class Q>
void rows(int64_t m, Rows<Q> w, int64_t n, Rows<E> x, int64_t in, Result c) {
    switch (m) {
        case 1: return outputs<E, W, 1, FromMemory>(w, n, x, in, c);
        case 2: return outputs<E, W / 2, 2, FromMemory>(w, n, x, in, c);
        case 3: return outputs<E, W / 4, std::min<int>(3, kRows), FromMemory>(w, n, x, in, c);
        default: return outputs<E, W / 4, std::min<int>(4, kRows), FromMemory>(w, n, x, in, c);
    }
}

template <class Q>
void prefetch(Rows<Q> w, int64_t first, int64_t n, int64_t in) {
    for (int64_t o = first; o < first + n; o++) {
        const char* row = reinterpret_cast<const char*>(w.row(o));
        for (int64_t at = 0; at < in * static_cast<int64_t>(sizeof(Q)); at += 64) _mm_prefetch(row + at, _MM_HINT_T1);
    }
}

// More rows: some outputs of the weight are expanded into memory that stays in the cache, while the next ones come in.
template <class E, class Q>
void more_rows(Worker& worker, int64_t m, Rows<Q> w, int64_t n, Rows<E> x, int64_t in, Result c) {
    // As many outputs as stay in the L1 cache beside kRows rows, as far as blocks of fewer rows leave the choice.
    const int64_t stride = round_up(in, 32), panel = in * static_cast<int64_t>(sizeof(E)) > 2048 && m % kRows == 0 ? kOutputs : W;
    E* copy = std::is_same_v<E, Q> ? nullptr : worker.take<E>(panel * stride);
    for (int64_t o = 0; o < n; o += panel) {
        const int64_t some = std::min(panel, n - o);
        Rows<E> part{copy, stride};
        if constexpr (std::is_same_v<E, Q>) {
            part = {w.row(o), w.stride};
        } else {
            for (int64_t i = 0; i < some; i++) {
                E* to = copy + i * stride;
                along<E>(in, [&](int64_t k, auto left) { Vector<E>::store(to + k, Vector<E>::load(w.row(o + i) + k, left), left); });
            }
        }
        // The next panel comes in a part at a time, while rows are multiplied.
        const int64_t next = std::min(panel, n - o - some), share = ceil_div(next, m / kRows);
        int64_t r = 0, fetched = 0;
        for (; r + kRows <= m; r += kRows) {
            prefetch(w, o + panel + fetched, std::min(share, next - fetched), in);
            fetched += std::min(share, next - fetched);
            outputs<E, kOutputs, kRows>(part, some, Rows<E>{x.row(r), x.stride}, in, c.at(r, o));
        }
        if (r < m) rows<E, false>(m - r, part, some, Rows<E>{x.row(r), x.stride}, in, c.at(r, o));
    }
}

template <class E, class Q>
void by_rows(Worker& worker, int64_t m, Rows<Q> w, int64_t n, Rows<E> x, int64_t in, Result c) {
    if (m <= kRows) {
        rows<E, true>(m, w, n, x, in, c);
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
