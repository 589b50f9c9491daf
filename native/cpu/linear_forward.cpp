// y = residual + x W^T + [z_i B_i^T], W = q * absmax / 127 expanded a panel at a time. QLoRA: Dettmers et al., arXiv 2305.14314.
#include <algorithm>

#include "weight.h"

namespace so8t::SO8T_ISA {

namespace {

struct Linear : LinearForwardViews {
    int64_t rows, in, out, rank, slices;
};

// A slice's B that is stored as float32 is copied in the compute type.
void round_slices(Context& c, Linear& l) {
    int64_t size = 0;
    for (int64_t i = 0; i < l.slices; i++) {
        if (to_round(l.slice[i].b, l.x.dtype)) size += l.slice[i].rows * l.rank;
    }
    bf16* copy = size > 0 ? c.shared<bf16>(size) : nullptr;
    for (int64_t i = 0; i < l.slices; i++) {
        Slice& s = l.slice[i];
        if (!to_round(s.b, l.x.dtype)) continue;
        s.b = rounded(c, s.b, s.rows, l.rank, copy);
        copy += s.rows * l.rank;
    }
}

// Rows [m0, m0 + m) by outputs [n0, n0 + n): a float32 tile, rounded once at the end.
template <class T, class Y>
void tile(const Linear& l, int64_t m0, int64_t m, int64_t n0, int64_t n, Worker& w) {
    const int64_t ld = n;
    float* c = w.take<float>(round_up(m, 16) * ld);
    times_rows<T>(w, l.weight, n0, n, l.x, m0, m, c);
    for (int64_t i = 0; i < l.slices; i++) {
        const Slice& s = l.slice[i];
        const int64_t begin = std::max(n0, s.begin), end = std::min(n0 + n, s.begin + s.rows);
        if (begin >= end) continue;
        multiply<T>(w, {m, end - begin, l.rank, dtype_of<T>(), l.z.row<T>(m0) + i * l.rank, l.z.stride, false, s.b.row<T>(begin - s.begin), s.b.stride, true,
                        c + (begin - n0), ld, true});
    }
    for (int64_t i = 0; i < m; i++) {
        Y* y = l.y.row<Y>(m0 + i) + n0;
        const float* from = c + i * ld;
        if (l.residual) {
            const T* r = l.residual.row<T>(m0 + i) + n0;
            for_vectors(n, [&](int64_t j, auto k) { store(y + j, load(from + j, k) + load(r + j, k), k); });
        } else {
            for_vectors(n, [&](int64_t j, auto k) { store(y + j, load(from + j, k), k); });
        }
    }
}

// Decoding has so few rows that the time goes into reading the weight: each of its rows is expanded in registers once.
constexpr int64_t kFewRows = 8;
constexpr int64_t kFewOutputs = 32;

template <int M, class Q>
void dot_rows(const float* x, int64_t in, const Q* q, float* out) {
    vf s[M];
    for (int r = 0; r < M; r++) s[r] = set(0);
    for_vectors(in, [&](int64_t j, auto n) {
        const vf v = load(q + j, n);
        for (int r = 0; r < M; r++) s[r] = fma(load(x + r * in + j, n), v, s[r]);
    });
    for (int r = 0; r < M; r++) out[r] = sum(s[r]);
}

template <class Q>
void dot_rows(int64_t rows, const float* x, int64_t in, const Q* q, float* out) {
    switch (rows) {
        case 1: return dot_rows<1>(x, in, q, out);
        case 2: return dot_rows<2>(x, in, q, out);
        case 3: return dot_rows<3>(x, in, q, out);
        case 4: return dot_rows<4>(x, in, q, out);
        case 5: return dot_rows<5>(x, in, q, out);
        case 6: return dot_rows<6>(x, in, q, out);
        case 7: return dot_rows<7>(x, in, q, out);
        default: return dot_rows<8>(x, in, q, out);
    }
}

template <class T>
float* widen(Worker& w, const View& v, int64_t rows, int64_t columns) {
    float* out = w.take<float>(rows * columns);
    for (int64_t i = 0; i < rows; i++) {
        for_vectors(columns, [&](int64_t j, auto n) { store(out + i * columns + j, load(v.row<T>(i) + j, n), n); });
    }
    return out;
}

template <class T, class Y>
void few_rows(const Linear& l, int64_t n0, int64_t n, Worker& w) {
    const float* x = widen<T>(w, l.x, l.rows, l.in);
    const float* z = l.slices > 0 ? widen<T>(w, l.z, l.rows, l.slices * l.rank) : nullptr;
    for (int64_t o = n0; o < n0 + n; o++) {
        float sums[kFewRows], low[kFewRows];
        if (l.weight.w.dtype == SO8T_INT8) {
            dot_rows(l.rows, x, l.in, l.weight.w.row<int8_t>(o), sums);
            const float scale = l.weight.absmax[o] / 127.0f;
            for (int64_t r = 0; r < l.rows; r++) sums[r] *= scale;
        } else if (l.weight.w.dtype == SO8T_BFLOAT16) {
            dot_rows(l.rows, x, l.in, l.weight.w.row<bf16>(o), sums);
        } else {
            dot_rows(l.rows, x, l.in, l.weight.w.row<float>(o), sums);
        }
        for (int64_t i = 0; i < l.slices; i++) {
            const Slice& s = l.slice[i];
            if (o < s.begin || o >= s.begin + s.rows) continue;
            const T* b = s.b.row<T>(o - s.begin);
            for (int64_t r = 0; r < l.rows; r++) {
                dot_rows<1>(z + r * l.slices * l.rank + i * l.rank, l.rank, b, low);
                sums[r] += low[0];
            }
        }
        for (int64_t r = 0; r < l.rows; r++) {
            if (l.residual) sums[r] += to_float(l.residual.row<T>(r)[o]);
            from_float(sums[r], l.y.row<Y>(r)[o]);
        }
    }
}

template <class T, class Y>
void run(Context& c, const Linear& l) {
    if (l.rows <= kFewRows) {
        c.parallel(ceil_div(l.out, kFewOutputs),
                   [&](int64_t unit, Worker& w) { few_rows<T, Y>(l, unit * kFewOutputs, std::min(kFewOutputs, l.out - unit * kFewOutputs), w); });
        return;
    }
    const int64_t blocks = ceil_div(l.rows, kTileRows), panels = ceil_div(l.out, kPanel);
    c.parallel(blocks * panels, [&](int64_t unit, Worker& w) {
        const int64_t m0 = unit / panels * kTileRows, n0 = unit % panels * kPanel;
        tile<T, Y>(l, m0, std::min(kTileRows, l.rows - m0), n0, std::min(kPanel, l.out - n0), w);
    });
}

}  // namespace

void linear_forward(Context& c, const so8t_linear_forward_params& p) {
    Linear l{check(c, p), p.rows, p.in, p.out, p.rank, p.slices};
    round_slices(c, l);
    if (l.rows == 0) return;
    by_compute(l.x.dtype, [&](auto x) { by_compute(l.y.dtype, [&](auto y) { run<decltype(x), decltype(y)>(c, l); }); });
}

}  // namespace so8t::SO8T_ISA
