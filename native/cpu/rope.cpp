// (x_j, x_{j+d/2}) rotated by the angle index * frequency_j, from tables. Su et al., arXiv 2104.09864; paired by halves, as Hugging Face does.
#include "checks/layers.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

namespace {

void turn(Context& c, const so8t_rope_params& p, float direction) {
    const RopeViews v = check(c, p);
    const int64_t half = p.rotary_dim / 2, width = p.heads * p.head_dim;
    const int64_t per = rows_per_unit(width);
    by_compute(v.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
            for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
                const int64_t at = v.index.as<int32_t>()[i];
                const float *cosine = v.cos.row<float>(at), *sine = v.sin.row<float>(at);
                for (int64_t h = 0; h < p.heads; h++) {
                    T *a = v.x.row<T>(i) + h * p.head_dim, *b = a + half;
                    for_vectors(half, [&](int64_t j, auto n) {
                        const vf x = load(a + j, n), y = load(b + j, n), co = load(cosine + j, n), si = load(sine + j, n) * set(direction);
                        store(a + j, x * co - y * si, n);
                        store(b + j, y * co + x * si, n);
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
