// y = residual + x W^T + [z_i B_i^T] as one product: [x | z] [W | B]^T, B block-diagonal. QLoRA: Dettmers et al., arXiv 2305.14314.
// Reference: TestOperations/linear_forward in native/linear_test.go.
#include "few_rows.h"
#include "products.h"

namespace so8t::cuda {

void linear_forward(Context& c, const so8t_linear_forward_params& p) {
    const LinearForwardViews v = check(c, p);
    Scratch s(c);
    FewRows l;
    l.rows = p.rows;
    l.x = v.x;
    l.y = v.y;
    l.residual = v.residual;
    l.weight = v.weight;
    l.z = v.z;
    // What few rows give must not depend on whether there is memory for the expanded weight.
    const bool few = are_few(p.rows, l.x.dtype, l.weight.w.dtype);
    if (few) l.weight.expanded = {};
    if (l.weight.expanded) {
        l.slices.count = static_cast<int>(p.slices);
        l.slices.rank = p.rank;
    } else if (p.slices > 0) {
        l.slices = slices_of(c, s, v.slice, p.slices, p.rank, v.x.dtype);
    }
    if (p.rows == 0) return;
    if (few) {
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
            if (l.residual.dtype != l.y.dtype) {  // cuBLASLt adds only what has C's type
                so8t_cast_params widen{p.rows, p.out, p.residual, p.y};
                cast(c, widen);
                product.residual = nullptr;
            }
        }
        c.products->run(product);
    });
}

}  // namespace so8t::cuda
