// y = residual + x W^T + [z_i B_i^T], W = q * absmax / 127 expanded a panel at a time. QLoRA: Dettmers et al., arXiv 2305.14314.
#include <algorithm>

#include "few_rows.h"

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

bool few(const Linear& l) { return l.rows <= kFewRows; }

// Rows [m0, m0 + m) by outputs [n0, n0 + n): a float32 tile, rounded once at the end.
template <class T, class Y>
void tile(const Linear& l, int64_t m0, int64_t m, int64_t n0, int64_t n, Worker& w) {
    const int64_t ld = n;
    float* c = w.take<float>(round_up(m, 16) * ld);
    if (few(l)) {
        few_rows<T>(w, l.weight, n0, n, l.x, m, c, ld, false);
    } else {
        times_rows<T>(w, l.weight, n0, n, l.x, m0, m, c);
    }
    for (int64_t i = 0; i < l.slices; i++) {
        const Slice& s = l.slice[i];
        const int64_t begin = std::max(n0, s.begin), end = std::min(n0 + n, s.begin + s.rows);
        if (begin >= end) continue;
        if (few(l)) {
            few_rows<T>(w, {s.b, nullptr, s.rows, l.rank}, begin - s.begin, end - begin, l.z.column<T>(i * l.rank), m, c + (begin - n0), ld, true);
            continue;
        }
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

template <class T, class Y>
void run(Context& c, const Linear& l) {
    const int64_t height = few(l) ? kFewRows : kTileRows, width = few(l) ? kFewOutputs : kPanel;
    const int64_t blocks = ceil_div(l.rows, height), panels = ceil_div(l.out, width);
    c.parallel(blocks * panels, [&](int64_t unit, Worker& w) {
        const int64_t m0 = unit / panels * height, n0 = unit % panels * width;
        tile<T, Y>(l, m0, std::min(height, l.rows - m0), n0, std::min(width, l.out - n0), w);
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
