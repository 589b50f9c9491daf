#include "checks/linear.h"

#include "context.h"

namespace so8t {

namespace {

// columns: of the adapter's A and B, all slices together.
template <class P>
Weight weight_of(const Context& c, const P& p, int64_t columns, int32_t compute) {
    Weight r;
    r.w = c.matrix(p.w, "w", p.out, p.in, kI8 | kCompute);
    r.out = p.out;
    r.in = p.in;
    if (r.w.dtype == SO8T_INT8) r.absmax = c.vector(p.w_absmax, "w_absmax", p.out, kF32).template as<float>();
    if (present(p.expanded)) {
        if (r.w.dtype != SO8T_INT8) fail("expanded is that of an int8 w");
        r.expanded = c.matrix(p.expanded, "expanded", p.out + columns, p.in + columns, only(compute));
    }
    return r;
}

// b may have the compute type, or be the float32 that is trained.
template <class P>
void slices_of(const Context& c, const P& p, int64_t least_rows, int32_t compute, Slice* slice) {
    for (int64_t i = 0; i < p.slices; i++) {
        const so8t_lora_slice& s = p.slice[i];
        if (s.out_begin < 0 || s.out_rows < least_rows || s.out_begin > p.out || s.out_rows > p.out - s.out_begin) {
            fail("slice %lld is rows %lld + %lld of %lld", static_cast<long long>(i), static_cast<long long>(s.out_begin), static_cast<long long>(s.out_rows),
                 static_cast<long long>(p.out));
        }
        slice[i] = {s.out_begin, s.out_rows, c.matrix(s.b, "b", s.out_rows, p.rank, kF32 | only(compute)), {}};
    }
}

}  // namespace

LinearForwardViews check(Context& c, const so8t_linear_forward_params& p) {
    check_size("rows", p.rows);
    check_size("in", p.in, 1);
    check_size("out", p.out, 1);
    LinearForwardViews v;
    v.x = c.matrix(p.x, "x", p.rows, p.in, kCompute);
    const int32_t compute = v.x.dtype;
    if (p.slices < 0 || p.slices > SO8T_MAX_SLICES) fail("slices is %lld", static_cast<long long>(p.slices));
    if (p.slices > 0) check_size("rank", p.rank, 1);
    v.weight = weight_of(c, p, p.slices * p.rank, compute);
    v.y = c.matrix(p.y, "y", p.rows, p.out, kF32 | only(compute));
    if (present(p.residual)) v.residual = c.matrix(p.residual, "residual", p.rows, p.out, only(compute));
    if (p.slices == 0) return v;
    v.z = c.matrix(p.z, "z", p.rows, p.slices * p.rank, only(compute));
    slices_of(c, p, 0, compute, v.slice);
    return v;
}

LinearBackwardViews check(Context& c, const so8t_linear_backward_params& p) {
    check_size("rows", p.rows);
    check_size("in", p.in, 1);
    check_size("out", p.out, 1);
    check_size("columns", p.columns);
    LinearBackwardViews v;
    v.dy = c.matrix(p.dy, "dy", p.rows, p.out, kCompute);
    const int32_t compute = v.dy.dtype;
    v.weight = weight_of(c, p, p.columns, compute);
    v.dx = c.matrix(p.dx, "dx", p.rows, p.in, kF32 | only(compute));
    if (p.columns == 0) return v;
    v.dz = c.matrix(p.dz, "dz", p.rows, p.columns, only(compute));
    v.a = c.matrix(p.a, "a", p.columns, p.in, kF32 | only(compute));
    v.dropout = dropout_of(c, p.dropout, p.rows);
    return v;
}

LoRADownForwardViews check(Context& c, const so8t_lora_down_forward_params& p) {
    check_size("rows", p.rows);
    check_size("in", p.in, 1);
    check_size("columns", p.columns, 1);
    LoRADownForwardViews v;
    v.x = c.matrix(p.x, "x", p.rows, p.in, kCompute);
    v.a = c.matrix(p.a, "a", p.columns, p.in, kF32 | only(v.x.dtype));
    v.z = c.matrix(p.z, "z", p.rows, p.columns, only(v.x.dtype));
    v.dropout = dropout_of(c, p.dropout, p.rows);
    return v;
}

LoRADownBackwardViews check(Context& c, const so8t_lora_down_backward_params& p) {
    check_size("rows", p.rows);
    check_size("in", p.in, 1);
    check_size("columns", p.columns, 1);
    LoRADownBackwardViews v;
    v.x = c.matrix(p.x, "x", p.rows, p.in, kCompute);
    v.dz = c.matrix(p.dz, "dz", p.rows, p.columns, only(v.x.dtype));
    v.a_grad = c.matrix(p.a_grad, "a_grad", p.columns, p.in, kF32);
    v.dropout = dropout_of(c, p.dropout, p.rows);
    return v;
}

LoRAUpBackwardViews check(Context& c, const so8t_lora_up_backward_params& p) {
    check_size("rows", p.rows);
    check_size("out", p.out, 1);
    check_size("rank", p.rank, 1);
    if (p.slices < 1 || p.slices > SO8T_MAX_SLICES) fail("slices is %lld", static_cast<long long>(p.slices));
    LoRAUpBackwardViews v;
    v.dy = c.matrix(p.dy, "dy", p.rows, p.out, kCompute);
    v.z = c.matrix(p.z, "z", p.rows, p.slices * p.rank, only(v.dy.dtype));
    v.dz = c.matrix(p.dz, "dz", p.rows, p.slices * p.rank, only(v.dy.dtype));
    slices_of(c, p, 1, v.dy.dtype, v.slice);
    for (int64_t i = 0; i < p.slices; i++) v.slice[i].grad = c.matrix(p.slice[i].b_grad, "b_grad", v.slice[i].rows, p.rank, kF32);
    return v;
}

}  // namespace so8t
