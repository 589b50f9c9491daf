// y = weight * x * rstd, rstd = 1 / sqrt(mean(x^2) + epsilon). Zhang and Sennrich, arXiv 1910.07467.
// dx = residual + rstd * (w dy - x * rstd^2 * mean(w dy x))
#include <cmath>

#include "checks/layers.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

void rmsnorm_forward(Context& c, const so8t_rmsnorm_forward_params& p) {
    const RMSNormForwardViews v = check(c, p);
    const int64_t per = rows_per_unit(p.columns);
    by_compute(v.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_compute(v.weight.dtype, [&](auto weight_tag) {
            const auto* w = v.weight.as<decltype(weight_tag)>();
            c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
                for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
                    const T* row = v.x.row<T>(i);
                    vf squares = set(0);
                    for_vectors(p.columns, [&](int64_t j, auto n) {
                        const vf a = load(row + j, n);
                        squares = fma(a, a, squares);
                    });
                    const float r = 1.0f / std::sqrt(sum(squares) / static_cast<float>(p.columns) + static_cast<float>(p.epsilon));
                    v.rstd.as<float>()[i] = r;
                    for_vectors(p.columns, [&](int64_t j, auto n) { store(v.y.row<T>(i) + j, load(w + j, n) * (load(row + j, n) * set(r)), n); });
                }
            });
        });
    });
}

void rmsnorm_backward(Context& c, const so8t_rmsnorm_backward_params& p) {
    const RMSNormBackwardViews v = check(c, p);
    const int64_t per = rows_per_unit(p.columns);
    by_compute(v.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_compute(v.weight.dtype, [&](auto weight_tag) {
            const auto* w = v.weight.as<decltype(weight_tag)>();
            c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
                for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
                    const T *a = v.x.row<T>(i), *g = v.dy.row<T>(i);
                    vf dot = set(0);
                    for_vectors(p.columns, [&](int64_t j, auto n) { dot = fma(load(w + j, n) * load(g + j, n), load(a + j, n), dot); });
                    const float r = v.rstd.as<float>()[i];
                    const vf back = set(-r * r * sum(dot) / static_cast<float>(p.columns)), scale = set(r);
                    for_vectors(p.columns, [&](int64_t j, auto n) {
                        vf d = scale * fma(load(a + j, n), back, load(w + j, n) * load(g + j, n));
                        if (v.residual) d = d + load(v.residual.row<T>(i) + j, n);
                        store(v.dx.row<T>(i) + j, d, n);
                    });
                }
            });
        });
    });
}

}  // namespace so8t::SO8T_ISA
