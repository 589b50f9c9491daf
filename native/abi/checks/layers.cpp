#include "checks/layers.h"

#include "context.h"

namespace so8t {

RMSNormForwardViews check(Context& c, const so8t_rmsnorm_forward_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns, 1);
    RMSNormForwardViews v;
    v.x = c.matrix(p.x, "x", p.rows, p.columns, kCompute);
    v.weight = c.vector(p.weight, "weight", p.columns, kF32 | only(v.x.dtype));
    v.y = c.matrix(p.y, "y", p.rows, p.columns, only(v.x.dtype));
    v.rstd = c.vector(p.rstd, "rstd", p.rows, kF32);
    return v;
}

RMSNormBackwardViews check(Context& c, const so8t_rmsnorm_backward_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns, 1);
    RMSNormBackwardViews v;
    v.x = c.matrix(p.x, "x", p.rows, p.columns, kCompute);
    v.weight = c.vector(p.weight, "weight", p.columns, kF32 | only(v.x.dtype));
    v.rstd = c.vector(p.rstd, "rstd", p.rows, kF32);
    v.dy = c.matrix(p.dy, "dy", p.rows, p.columns, only(v.x.dtype));
    v.dx = c.matrix(p.dx, "dx", p.rows, p.columns, only(v.x.dtype));
    if (present(p.residual)) v.residual = c.matrix(p.residual, "residual", p.rows, p.columns, only(v.x.dtype));
    return v;
}

RopeViews check(Context& c, const so8t_rope_params& p) {
    check_size("rows", p.rows);
    check_size("heads", p.heads);
    check_size("head_dim", p.head_dim);
    check_size("rotary_dim", p.rotary_dim);
    check_size("table_rows", p.table_rows);
    if (p.rotary_dim % 2 != 0 || p.rotary_dim > p.head_dim) {
        fail("rotary_dim is %lld of head_dim %lld", static_cast<long long>(p.rotary_dim), static_cast<long long>(p.head_dim));
    }
    RopeViews v;
    v.x = c.matrix(p.x, "x", p.rows, p.heads * p.head_dim, kCompute);
    v.cos = c.matrix(p.cos, "cos", p.table_rows, p.rotary_dim / 2, kF32);
    v.sin = c.matrix(p.sin, "sin", p.table_rows, p.rotary_dim / 2, kF32);
    v.index = c.vector(p.index, "index", p.rows, kI32);
    check_range(c, v.index, "index", p.rows, 0, p.table_rows);
    return v;
}

SwiGLUForwardViews check(Context& c, const so8t_swiglu_forward_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    SwiGLUForwardViews v;
    v.gate_up = c.matrix(p.gate_up, "gate_up", p.rows, 2 * p.columns, kCompute);
    v.y = c.matrix(p.y, "y", p.rows, p.columns, only(v.gate_up.dtype));
    return v;
}

SwiGLUBackwardViews check(Context& c, const so8t_swiglu_backward_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    SwiGLUBackwardViews v;
    v.gate_up = c.matrix(p.gate_up, "gate_up", p.rows, 2 * p.columns, kCompute);
    v.dy = c.matrix(p.dy, "dy", p.rows, p.columns, only(v.gate_up.dtype));
    v.dgate_up = c.matrix(p.dgate_up, "dgate_up", p.rows, 2 * p.columns, only(v.gate_up.dtype));
    return v;
}

}  // namespace so8t
