// dz_i = scale * dy_i B_i and b_grad_i += dy_i^T z_i, by slices of a fused output. LoRA: Hu et al., arXiv 2106.09685.
// Reference: TestOperations/lora in native/linear_test.go.
#include "products.h"
#include "weight.h"

namespace so8t::cuda {

void lora_up_backward(Context& c, const so8t_lora_up_backward_params& p) {
    const LoRAUpBackwardViews v = check(c, p);
    Scratch s(c);
    const Slices slices = slices_of(c, s, v.slice, p.slices, p.rank, v.dy.dtype);
    if (p.rows == 0) return;
    const int64_t size = dtype_bytes(v.dy.dtype);
    for (int i = 0; i < slices.count; i++) {
        const char* g = v.dy.data + slices.begin[i] * size;
        const int64_t column = i * p.rank * size;
        c.products->run({p.rows, p.rank, slices.rows[i], v.dy.dtype, g, v.dy.stride, false, slices.b[i].data, slices.b[i].stride, false, v.dz.data + column,
                         v.dz.stride, v.dz.dtype, static_cast<float>(p.scale), 0});
        c.products->run({slices.rows[i], p.rank, p.rows, v.dy.dtype, g, v.dy.stride, true, v.z.data + column, v.z.stride, false, v.slice[i].grad.data,
                         v.slice[i].grad.stride, v.slice[i].grad.dtype, 1, 1});
    }
}

}  // namespace so8t::cuda
