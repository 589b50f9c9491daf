// y = residual + x W^T + [z_i B_i^T] as one product: [x | z] [W | B]^T, B block-diagonal. QLoRA: Dettmers et al., arXiv 2305.14314.
#include "few_rows.h"
#include "products.h"

namespace so8t::cuda {

void linear_forward(Context& c, const so8t_linear_forward_params& p) {
    check_size("rows", p.rows);
    check_size("in", p.in, 1);
    check_size("out", p.out, 1);
    Scratch s(c);
    FewRows l;
    l.rows = p.rows;
    l.x = c.matrix(p.x, "x", p.rows, p.in, kCompute);
    l.weight = weight_of(c, p.w, p.w_absmax, p.out, p.in);
    l.y = c.matrix(p.y, "y", p.rows, p.out, kF32 | only(l.x.dtype));
    if (present(p.residual)) l.residual = c.matrix(p.residual, "residual", p.rows, p.out, only(l.x.dtype));
    if (p.slices < 0 || p.slices > SO8T_MAX_SLICES) fail("slices is %lld", static_cast<long long>(p.slices));
    if (p.slices > 0) {
        check_size("rank", p.rank, 1);
        l.z = c.matrix(p.z, "z", p.rows, p.slices * p.rank, only(l.x.dtype));
        l.slices = slices_of(c, s, p.slice, p.slices, p.rank, p.out, l.x.dtype, 0);
    }
    if (p.rows == 0) return;
    const bool as_it_lies = l.weight.w.dtype == SO8T_INT8 || l.weight.w.dtype == l.x.dtype;
    if (p.rows <= kFewRows && as_it_lies) {
        few_rows(c, l);
        return;
    }
    by_compute(l.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        const int64_t columns = l.slices.columns();
        const Operand x = joined<T>(c, s, p.rows, l.x, p.in, l.z, columns), w = beside<T>(c, s, l.weight, l.slices);
        Product product{p.rows, p.out, p.in + columns, l.x.dtype, x.data, x.ld, false, w.data, w.ld, true, l.y.data, l.y.stride, l.y.dtype, 1, 0};
        if (l.residual) {
            product.beta = 1;
            product.residual = l.residual.data;
            product.ld_residual = l.residual.stride;
            if (l.residual.dtype != l.y.dtype) {  // a product adds to its own type only
                so8t_cast_params widen{p.rows, p.out, p.residual, p.y};
                cast(c, widen);
                product.residual = nullptr;
            }
        }
        c.products->run(product);
    });
}

}  // namespace so8t::cuda
