// dz_i = scale * dy_i B_i and b_grad_i += dy_i^T z_i, by slices of a fused output. LoRA: Hu et al., arXiv 2106.09685.
#include "products.h"
#include "weight.h"

namespace so8t::cuda {

void lora_up_backward(Context& c, const so8t_lora_up_backward_params& p) {
    check_size("rows", p.rows);
    check_size("out", p.out, 1);
    check_size("rank", p.rank, 1);
    if (p.slices < 1 || p.slices > SO8T_MAX_SLICES) fail("slices is %lld", static_cast<long long>(p.slices));
    const View dy = c.matrix(p.dy, "dy", p.rows, p.out, kCompute);
    const View z = c.matrix(p.z, "z", p.rows, p.slices * p.rank, only(dy.dtype));
    const View dz = c.matrix(p.dz, "dz", p.rows, p.slices * p.rank, only(dy.dtype));
    Scratch s(c);
    const Slices slices = slices_of(c, s, p.slice, p.slices, p.rank, p.out, dy.dtype, 1);
    View grad[SO8T_MAX_SLICES];
    for (int i = 0; i < slices.count; i++) grad[i] = c.matrix(p.slice[i].b_grad, "b_grad", slices.rows[i], p.rank, kF32);
    if (p.rows == 0) return;
    const int64_t size = dtype_bytes(dy.dtype);
    for (int i = 0; i < slices.count; i++) {
        const char* g = dy.data + slices.begin[i] * size;
        const int64_t column = i * p.rank * size;
        c.products->run({p.rows, p.rank, slices.rows[i], dy.dtype, g, dy.stride, false, slices.b[i].data, slices.b[i].stride, false, dz.data + column, dz.stride, dz.dtype,
                         static_cast<float>(p.scale), 0});
        c.products->run({slices.rows[i], p.rank, p.rows, dy.dtype, g, dy.stride, true, z.data + column, z.stride, false, grad[i].data, grad[i].stride, grad[i].dtype, 1, 1});
    }
}

}  // namespace so8t::cuda
