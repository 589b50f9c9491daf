// Layers without weights to multiply by: a call's parameters become checked views.
#pragma once

#include "buffers.h"

namespace so8t {

struct Context;

struct RMSNormForwardViews {
    View x, weight, y, rstd;
};
struct RMSNormBackwardViews {
    View x, weight, rstd, dy, dx, residual;
};
struct RopeViews {
    View x, cos, sin, index;
};
struct SwiGLUForwardViews {
    View gate_up, y;
};
struct SwiGLUBackwardViews {
    View gate_up, dy, dgate_up;
};

RMSNormForwardViews check(Context& c, const so8t_rmsnorm_forward_params& p);
RMSNormBackwardViews check(Context& c, const so8t_rmsnorm_backward_params& p);
RopeViews check(Context& c, const so8t_rope_params& p);
SwiGLUForwardViews check(Context& c, const so8t_swiglu_forward_params& p);
SwiGLUBackwardViews check(Context& c, const so8t_swiglu_backward_params& p);

}  // namespace so8t
