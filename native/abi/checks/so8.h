// Rotation gates: a call's parameters become checked views.
#pragma once

#include "buffers.h"

namespace so8t {

struct Context;

struct CayleyForwardViews {
    View theta, rotation;
};
struct CayleyBackwardViews {
    View theta, rotation, drotation, dtheta;
};
struct RotateForwardViews {
    View x, rotation, y;
};
struct RotateBackwardViews {
    View dy, rotation, dx;
    View x, drotation;  // absent where the rotation is not trained
};

CayleyForwardViews check(Context& c, const so8t_cayley_forward_params& p);
CayleyBackwardViews check(Context& c, const so8t_cayley_backward_params& p);
RotateForwardViews check(Context& c, const so8t_rotate_forward_params& p);
RotateBackwardViews check(Context& c, const so8t_rotate_backward_params& p);

}  // namespace so8t
