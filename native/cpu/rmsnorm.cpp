// y = weight * x * rstd, rstd = 1 / sqrt(mean(x^2) + epsilon). Zhang and Sennrich, arXiv 1910.07467.
// dx = residual + rstd * (w dy - x * rstd^2 * mean(w dy x))
#include <cmath>

#include "operations.h"

namespace so8t::SO8T_ISA {

void rmsnorm_forward(Context& c, const so8t_rmsnorm_forward_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns, 1);
    const View x = c.matrix(p.x, "x", p.rows, p.columns, kCompute);
    const View weight = c.vector(p.weight, "weight", p.columns, kF32 | only(x.dtype));
    const View y = c.matrix(p.y, "y", p.rows, p.columns, only(x.dtype));
    const View rstd = c.vector(p.rstd, "rstd", p.rows, kF32);
    const int64_t per = rows_per_unit(p.columns);
    by_compute(x.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_compute(weight.dtype, [&](auto weight_tag) {
            const auto* w = weight.as<decltype(weight_tag)>();
            c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
                for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
                    const T* row = x.row<T>(i);
                    vf squares = set(0);
                    for_vectors(p.columns, [&](int64_t j, auto n) {
                        const vf v = load(row + j, n);
                        squares = fma(v, v, squares);
                    });
                    const float r = 1.0f / std::sqrt(sum(squares) / static_cast<float>(p.columns) + static_cast<float>(p.epsilon));
                    rstd.as<float>()[i] = r;
                    for_vectors(p.columns, [&](int64_t j, auto n) { store(y.row<T>(i) + j, load(w + j, n) * (load(row + j, n) * set(r)), n); });
                }
            });
        });
    });
}

void rmsnorm_backward(Context& c, const so8t_rmsnorm_backward_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns, 1);
    const View x = c.matrix(p.x, "x", p.rows, p.columns, kCompute);
    const View weight = c.vector(p.weight, "weight", p.columns, kF32 | only(x.dtype));
    const View rstd = c.vector(p.rstd, "rstd", p.rows, kF32);
    const View dy = c.matrix(p.dy, "dy", p.rows, p.columns, only(x.dtype));
    const View dx = c.matrix(p.dx, "dx", p.rows, p.columns, only(x.dtype));
    View residual;
    if (present(p.residual)) residual = c.matrix(p.residual, "residual", p.rows, p.columns, only(x.dtype));
    const int64_t per = rows_per_unit(p.columns);
    by_compute(x.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_compute(weight.dtype, [&](auto weight_tag) {
            const auto* w = weight.as<decltype(weight_tag)>();
            c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
                for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
                    const T *a = x.row<T>(i), *g = dy.row<T>(i);
                    vf dot = set(0);
                    for_vectors(p.columns, [&](int64_t j, auto n) { dot = fma(load(w + j, n) * load(g + j, n), load(a + j, n), dot); });
                    const float r = rstd.as<float>()[i];
                    const vf back = set(-r * r * sum(dot) / static_cast<float>(p.columns)), scale = set(r);
                    for_vectors(p.columns, [&](int64_t j, auto n) {
                        vf d = scale * fma(load(a + j, n), back, load(w + j, n) * load(g + j, n));
                        if (residual) d = d + load(residual.row<T>(i) + j, n);
                        store(dx.row<T>(i) + j, d, n);
                    });
                }
            });
        });
    });
}

}  // namespace so8t::SO8T_ISA
