// z = scale * dropout(x) A^T and a_grad += dz^T dropout(x). LoRA: Hu et al., arXiv 2106.09685.
// The mask only zeroes; 1 / (1 - p) multiplies the product, so that x is not rounded twice. In bfloat16 the products draw it
// themselves (lora_masked.cu); elsewhere a masked copy of x is multiplied.
// Reference: TestOperations/lora in native/linear_test.go.
#include "drop.h"
#include "few_rows.h"
#include "lora_masked.h"
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
    const LoRADownForwardViews v = check(c, p);
    Scratch s(c);
    const View a = in_compute(c, s, v.a, p.columns, p.in, v.x.dtype);
    if (p.rows == 0) return;
    const float scale = static_cast<float>(p.scale) * v.dropout.inverse;
    if (are_few(p.rows, v.x.dtype, a.dtype) && !v.dropout.on) {
        FewRows l;
        l.rows = p.rows;
        l.x = v.x;
        l.y = v.z;
        l.weight.w = a;
        l.weight.out = p.columns;
        l.weight.in = p.in;
        l.scale = scale;
        few_rows(c, l);
        return;
    }
    if (v.dropout.on && fits_masked(p.in, p.columns, v.x, a, v.z)) {
        masked_down(c, v.dropout, p.rows, p.in, p.columns, v.x, a, scale, v.z);
        return;
    }
    const Operand kept = dropped(c, s, v.dropout, p.rows, p.in, v.x);
    c.products->run({p.rows, p.columns, p.in, v.x.dtype, kept.data, kept.ld, false, a.data, a.stride, true, v.z.data, v.z.stride, v.z.dtype, scale, 0});
}

void lora_down_backward(Context& c, const so8t_lora_down_backward_params& p) {
    const LoRADownBackwardViews v = check(c, p);
    if (p.rows == 0) return;
    if (v.dropout.on && fits_masked(p.in, p.columns, v.x, v.dz, v.a_grad)) {
        masked_gradient(c, v.dropout, p.rows, p.in, p.columns, v.x, v.dz, v.a_grad);
        return;
    }
    Scratch s(c);
    const Operand kept = dropped(c, s, v.dropout, p.rows, p.in, v.x);
    c.products->run({p.columns, p.in, p.rows, v.x.dtype, v.dz.data, v.dz.stride, true, kept.data, kept.ld, false, v.a_grad.data, v.a_grad.stride,
                     v.a_grad.dtype, v.dropout.inverse, 1});
}

}  // namespace so8t::cuda
