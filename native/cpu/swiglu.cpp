// y = silu(gate) * up, silu(g) = g / (1 + e^-g). Shazeer, arXiv 2002.05202.
// dgate = dy * up * s * (1 + gate * (1 - s)), dup = dy * gate * s, s = 1 / (1 + e^-gate)
#include "checks/layers.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

void swiglu_forward(Context& c, const so8t_swiglu_forward_params& p) {
    const SwiGLUForwardViews v = check(c, p);
    const int64_t per = rows_per_unit(p.columns);
    by_compute(v.gate_up.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
            for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
                const T *gate = v.gate_up.row<T>(i), *up = gate + p.columns;
                for_vectors(p.columns, [&](int64_t j, auto n) {
                    const vf g = load(gate + j, n);
                    store(v.y.row<T>(i) + j, g / (set(1.0f) + exp(-g)) * load(up + j, n), n);
                });
            }
        });
    });
}

void swiglu_backward(Context& c, const so8t_swiglu_backward_params& p) {
    const SwiGLUBackwardViews v = check(c, p);
    const int64_t per = rows_per_unit(p.columns);
    by_compute(v.gate_up.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
            for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
                const T *gate = v.gate_up.row<T>(i), *up = gate + p.columns;
                T *dgate = v.dgate_up.row<T>(i), *dup = dgate + p.columns;
                for_vectors(p.columns, [&](int64_t j, auto n) {
                    const vf g = load(gate + j, n), u = load(up + j, n), e = load(v.dy.row<T>(i) + j, n), one = set(1.0f);
                    const vf s = one / (one + exp(-g));
                    store(dup + j, e * g * s, n);
                    store(dgate + j, e * u * s * fma(g, one - s, one), n);
                });
            }
        });
    });
}

}  // namespace so8t::SO8T_ISA
