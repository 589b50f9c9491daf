// (x_j, x_{j+d/2}) turned by angle index * frequency_j, given as tables. Su et al., arXiv 2104.09864; halves as Hugging Face pairs them.
#include "operations.h"

namespace so8t::SO8T_ISA {

namespace {

void turn(Context& c, const so8t_rope_params& p, float direction) {
    check_size("rows", p.rows);
    check_size("heads", p.heads);
    check_size("head_dim", p.head_dim);
    check_size("rotary_dim", p.rotary_dim);
    check_size("table_rows", p.table_rows);
    if (p.rotary_dim % 2 != 0 || p.rotary_dim > p.head_dim) fail("rotary_dim is %lld of head_dim %lld", static_cast<long long>(p.rotary_dim), static_cast<long long>(p.head_dim));
    const int64_t half = p.rotary_dim / 2, width = p.heads * p.head_dim;
    const View x = c.matrix(p.x, "x", p.rows, width, kCompute);
    const View cos = c.matrix(p.cos, "cos", p.table_rows, half, kF32);
    const View sin = c.matrix(p.sin, "sin", p.table_rows, half, kF32);
    const View index = c.vector(p.index, "index", p.rows, kI32);
    check_range(index, "index", p.rows, 0, p.table_rows);
    const int64_t per = rows_per_unit(width);
    by_compute(x.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
            for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
                const int64_t at = index.as<int32_t>()[i];
                const float *cosine = cos.row<float>(at), *sine = sin.row<float>(at);
                for (int64_t h = 0; h < p.heads; h++) {
                    T *a = x.row<T>(i) + h * p.head_dim, *b = a + half;
                    for_vectors(half, [&](int64_t j, auto n) {
                        const vf u = load(a + j, n), v = load(b + j, n), co = load(cosine + j, n), si = load(sine + j, n) * set(direction);
                        store(a + j, u * co - v * si, n);
                        store(b + j, v * co + u * si, n);
                    });
                }
            }
        });
    });
}

}  // namespace

void rope_forward(Context& c, const so8t_rope_params& p) { turn(c, p, 1.0f); }
void rope_backward(Context& c, const so8t_rope_params& p) { turn(c, p, -1.0f); }

}  // namespace so8t::SO8T_ISA
