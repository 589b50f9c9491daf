// dx = dy W + (dz A) * mask / (1 - p)
#include <algorithm>

#include "masks.h"
#include "weight.h"

namespace so8t::SO8T_ISA {

namespace {

struct Linear : LinearBackwardViews {
    int64_t rows, in, out, columns;
};

template <class T, class Y>
void tile(const Linear& l, int64_t m0, int64_t m, int64_t n0, int64_t n, Worker& w) {
    const int64_t ld = n;
    float* c = w.take<float>(round_up(m, 16) * ld);
    times_columns<T>(w, l.weight, n0, n, l.dy, m0, m, c);
    const bool masked = l.columns > 0 && l.dropout.on;
    float* low = masked ? w.take<float>(round_up(m, 16) * ld) : c;
    if (l.columns > 0) {
        multiply<T>(w, {m, n, l.columns, dtype_of<T>(), l.dz.row<T>(m0), l.dz.stride, false, l.a.row<T>(0) + n0, l.a.stride, false, low, ld, !masked});
    }
    for (int64_t i = 0; i < m; i++) {
        Y* y = l.dx.row<Y>(m0 + i) + n0;
        const float* from = c + i * ld;
        if (masked) {
            uint32_t bits[kPanel / 32];
            keep_bits(l.dropout, m0 + i, n0, n, bits);
            const vf inverse = set(l.dropout.inverse);
            for_vectors(
                n, [&](int64_t j, auto k) { store(y + j, fma(keep(load(low + i * ld + j, k), bits[j / 32] >> (j % 32)), inverse, load(from + j, k)), k); });
        } else {
            for_vectors(n, [&](int64_t j, auto k) { store(y + j, load(from + j, k), k); });
        }
    }
}

}  // namespace

void linear_backward(Context& c, const so8t_linear_backward_params& p) {
    Linear l{check(c, p), p.rows, p.in, p.out, p.columns};
    if (p.columns > 0 && to_round(l.a, l.dy.dtype)) l.a = rounded(c, l.a, p.columns, p.in, c.shared<bf16>(p.columns * p.in));
    if (l.rows == 0) return;
    const int64_t blocks = ceil_div(l.rows, kTileRows), panels = ceil_div(l.in, kPanel);
    by_compute(l.dy.dtype, [&](auto t) {
        by_compute(l.dx.dtype, [&](auto y) {
            c.parallel(blocks * panels, [&](int64_t unit, Worker& w) {
                const int64_t m0 = unit / panels * kTileRows, n0 = unit % panels * kPanel;
                tile<decltype(t), decltype(y)>(l, m0, std::min(kTileRows, l.rows - m0), n0, std::min(kPanel, l.in - n0), w);
            });
        });
    });
}

}  // namespace so8t::SO8T_ISA
