// z = scale * dropout(x) A^T and a_grad += dz^T dropout(x). LoRA: Hu et al., arXiv 2106.09685.
// The mask only zeroes; 1 / (1 - p) is a factor of the product, so that x is not rounded twice.
#include "dropout.h"
#include "few_rows.h"
#include "products.h"

namespace so8t::cuda {

namespace {

// x where the mask keeps it; x itself without dropout.
Operand dropped(Context& c, Scratch& s, const Dropout& d, int64_t rows, int64_t columns, const View& x) {
    if (!d.on) return {x.data, x.stride};
    const int64_t size = dtype_bytes(x.dtype), ld = round_up(columns, 16 / size);
    char* y = s.take<char>(rows * ld * size);
    drop(c, d, rows, columns, x, y, ld);
    return {y, ld};
}

}  // namespace

void lora_down_forward(Context& c, const so8t_lora_down_forward_params& p) {
    check_size("rows", p.rows);
    check_size("in", p.in, 1);
    check_size("columns", p.columns, 1);
    const View x = c.matrix(p.x, "x", p.rows, p.in, kCompute);
    Scratch s(c);
    const View a = in_compute(c, s, c.matrix(p.a, "a", p.columns, p.in, kF32 | only(x.dtype)), p.columns, p.in, x.dtype);
    const View z = c.matrix(p.z, "z", p.rows, p.columns, only(x.dtype));
    const Dropout dropout = dropout_of(c, p.dropout, p.rows);
    if (p.rows == 0) return;
    const float scale = static_cast<float>(p.scale) * dropout.inverse;
    if (p.rows <= kFewRows && !dropout.on) {
        FewRows l;
        l.rows = p.rows;
        l.x = x;
        l.y = z;
        l.weight.w = a;
        l.weight.out = p.columns;
        l.weight.in = p.in;
        l.scale = scale;
        few_rows(c, l);
        return;
    }
    const Operand kept = dropped(c, s, dropout, p.rows, p.in, x);
    c.products->run({p.rows, p.columns, p.in, x.dtype, kept.data, kept.ld, false, a.data, a.stride, true, z.data, z.stride, z.dtype, scale, 0});
}

void lora_down_backward(Context& c, const so8t_lora_down_backward_params& p) {
    check_size("rows", p.rows);
    check_size("in", p.in, 1);
    check_size("columns", p.columns, 1);
    const View x = c.matrix(p.x, "x", p.rows, p.in, kCompute);
    const View dz = c.matrix(p.dz, "dz", p.rows, p.columns, only(x.dtype));
    const View grad = c.matrix(p.a_grad, "a_grad", p.columns, p.in, kF32);
    const Dropout dropout = dropout_of(c, p.dropout, p.rows);
    if (p.rows == 0) return;
    Scratch s(c);
    const Operand kept = dropped(c, s, dropout, p.rows, p.in, x);
    c.products->run({p.columns, p.in, p.rows, x.dtype, dz.data, dz.stride, true, kept.data, kept.ld, false, grad.data, grad.stride, grad.dtype, dropout.inverse, 1});
}

}  // namespace so8t::cuda
