// dx = dy W + (dz A) * mask / (1 - p). Without dropout one product, [dy | dz] [W ; A]; with it the adapter's part comes
// first, and the base's product adds to it: only the smaller part is rounded twice.
#include "lora_dx.h"
#include "products.h"
#include "weight.h"

namespace so8t::cuda {

void linear_backward(Context& c, const so8t_linear_backward_params& p) {
    check_size("rows", p.rows);
    check_size("in", p.in, 1);
    check_size("out", p.out, 1);
    check_size("columns", p.columns);
    const View dy = c.matrix(p.dy, "dy", p.rows, p.out, kCompute);
    const Weight weight = weight_of(c, p.w, p.w_absmax, p.out, p.in);
    const View dx = c.matrix(p.dx, "dx", p.rows, p.in, kF32 | only(dy.dtype));
    Scratch s(c);
    View dz, a;
    Dropout dropout;
    if (p.columns > 0) {
        dz = c.matrix(p.dz, "dz", p.rows, p.columns, only(dy.dtype));
        a = in_compute(c, s, c.matrix(p.a, "a", p.columns, p.in, kF32 | only(dy.dtype)), p.columns, p.in, dy.dtype);
        dropout = dropout_of(c, p.dropout, p.rows);
    }
    if (p.rows == 0) return;
    const bool apart = p.columns > 0 && dropout.on;
    const int64_t columns = apart ? 0 : p.columns;
    by_compute(dy.dtype, [&](auto tag) {
        using T = decltype(tag);
        if (apart) lora_dx(c, dropout, p.rows, p.in, p.columns, dz, a, dx);
        const Operand g = joined<T>(c, s, p.rows, dy, p.out, dz, columns), w = below<T>(c, s, weight, a, columns);
        c.products->run({p.rows, p.in, p.out + columns, dy.dtype, g.data, g.ld, false, w.data, w.ld, false, dx.data, dx.stride, dx.dtype, 1, apart ? 1.0f : 0.0f});
    });
}

}  // namespace so8t::cuda
