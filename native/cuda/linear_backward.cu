// dx = dy W + (dz A) * mask / (1 - p). Without dropout one product, [dy | dz] [W ; A]; with it the adapter's part comes
// first, and the base's product adds to it, so that only the smaller part is rounded twice.
// Reference: TestOperations/linear_backward in native/linear_test.go.
#include "lora_dx.h"
#include "products.h"
#include "weight.h"

namespace so8t::cuda {

void linear_backward(Context& c, const so8t_linear_backward_params& p) {
    LinearBackwardViews v = check(c, p);
    Scratch s(c);
    if (p.rows == 0) return;
    const bool apart = p.columns > 0 && v.dropout.on;
    if (p.columns > 0 && (apart || !v.weight.expanded)) v.a = in_compute(c, s, v.a, p.columns, p.in, v.dy.dtype);
    const int64_t columns = apart ? 0 : p.columns;
    by_compute(v.dy.dtype, [&](auto tag) {
        using T = decltype(tag);
        if (apart) lora_dx(c, v.dropout, p.rows, p.in, p.columns, v.dz, v.a, v.dx);
        const Operand g = joined<T>(c, s, p.rows, v.dy, p.out, v.dz, columns), w = below<T>(c, s, v.weight, v.a, columns);
        c.products->run(
            {p.rows, p.in, p.out + columns, v.dy.dtype, g.data, g.ld, false, w.data, w.ld, false, v.dx.data, v.dx.stride, v.dx.dtype, 1, apart ? 1.0f : 0.0f});
    });
}

}  // namespace so8t::cuda
