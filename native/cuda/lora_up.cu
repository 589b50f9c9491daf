// dz_i = scale * dy_i B_i and b_grad_i += dy_i^T z_i, by slices of a fused output, together where they are equal. LoRA: Hu et al., arXiv 2106.09685.
// Reference: TestOperations/lora in native/linear_test.go.
#include "products.h"
#include "weight.h"

namespace so8t::cuda {

namespace {

// Whether the slices are equally large and evenly apart, so that one product takes them as a batch.
bool even(const Slices& s, const Slice* slice) {
    for (int i = 1; i < s.count; i++) {
        if (s.rows[i] != s.rows[0] || s.b[i].stride != s.b[0].stride || slice[i].grad.stride != slice[0].grad.stride ||
            s.begin[i] - s.begin[i - 1] != s.begin[1] - s.begin[0] || s.b[i].data - s.b[i - 1].data != s.b[1].data - s.b[0].data ||
            slice[i].grad.data - slice[i - 1].grad.data != slice[1].grad.data - slice[0].grad.data) {
            return false;
        }
    }
    return s.count > 1 && s.begin[1] > s.begin[0] && s.b[1].data > s.b[0].data && slice[1].grad.data > slice[0].grad.data;
}

}  // namespace

void lora_up_backward(Context& c, const so8t_lora_up_backward_params& p) {
    const LoRAUpBackwardViews v = check(c, p);
    Scratch s(c);
    const Slices slices = slices_of(c, s, v.slice, p.slices, p.rank, v.dy.dtype);
    if (p.rows == 0) return;
    const int64_t size = dtype_bytes(v.dy.dtype);
    const bool together = even(slices, v.slice);
    for (int i = 0; i < (together ? 1 : slices.count); i++) {
        const View &b = slices.b[i], &grad = v.slice[i].grad;
        const char* g = v.dy.data + slices.begin[i] * size;
        const int64_t rows = slices.rows[i], column = i * p.rank * size;
        Product dz{p.rows, p.rank,   rows,  v.dy.dtype,         g,           v.dy.stride, false,
                   b.data, b.stride, false, v.dz.data + column, v.dz.stride, v.dz.dtype,  static_cast<float>(p.scale),
                   0};
        Product b_grad{rows, p.rank, p.rows, v.dy.dtype, g, v.dy.stride, true, v.z.data + column, v.z.stride, false, grad.data, grad.stride, grad.dtype, 1, 1};
        if (together) {
            dz.batch = b_grad.batch = slices.count;
            dz.stride_a = b_grad.stride_a = slices.begin[1] - slices.begin[0];
            dz.stride_b = (slices.b[1].data - slices.b[0].data) / size;
            dz.stride_c = b_grad.stride_b = p.rank;
            b_grad.stride_c = (v.slice[1].grad.data - grad.data) / dtype_bytes(grad.dtype);
        }
        c.products->run(dz);
        c.products->run(b_grad);
    }
}

}  // namespace so8t::cuda
