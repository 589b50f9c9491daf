#include "checks/so8.h"

#include "context.h"

namespace so8t {

CayleyForwardViews check(Context& c, const so8t_cayley_forward_params& p) {
    check_size("blocks", p.blocks);
    CayleyForwardViews v;
    v.theta = c.matrix(p.theta, "theta", p.blocks, 28, kF32);
    v.rotation = c.matrix(p.rotation, "rotation", p.blocks, 64, kF32);
    return v;
}

CayleyBackwardViews check(Context& c, const so8t_cayley_backward_params& p) {
    check_size("blocks", p.blocks);
    CayleyBackwardViews v;
    v.theta = c.matrix(p.theta, "theta", p.blocks, 28, kF32);
    v.rotation = c.matrix(p.rotation, "rotation", p.blocks, 64, kF32);
    v.drotation = c.matrix(p.drotation, "drotation", p.blocks, 64, kF32);
    v.dtheta = c.matrix(p.dtheta, "dtheta", p.blocks, 28, kF32);
    return v;
}

RotateForwardViews check(Context& c, const so8t_rotate_forward_params& p) {
    check_size("rows", p.rows);
    check_size("blocks", p.blocks);
    RotateForwardViews v;
    v.x = c.matrix(p.x, "x", p.rows, 8 * p.blocks, kCompute);
    v.rotation = c.vector(p.rotation, "rotation", 64 * p.blocks, kF32);
    v.y = c.matrix(p.y, "y", p.rows, 8 * p.blocks, only(v.x.dtype));
    return v;
}

RotateBackwardViews check(Context& c, const so8t_rotate_backward_params& p) {
    check_size("rows", p.rows);
    check_size("blocks", p.blocks);
    RotateBackwardViews v;
    v.dy = c.matrix(p.dy, "dy", p.rows, 8 * p.blocks, kCompute);
    v.rotation = c.vector(p.rotation, "rotation", 64 * p.blocks, kF32);
    v.dx = c.matrix(p.dx, "dx", p.rows, 8 * p.blocks, only(v.dy.dtype));
    if (!present(p.drotation)) return v;
    v.x = c.matrix(p.x, "x", p.rows, 8 * p.blocks, only(v.dy.dtype));
    v.drotation = c.vector(p.drotation, "drotation", 64 * p.blocks, kF32);
    return v;
}

}  // namespace so8t
