// What is made of logits: a call's parameters become checked views.
#pragma once

#include "buffers.h"

namespace so8t {

struct Context;

struct CrossEntropyViews {
    View logits, target, loss;
};
struct ArgmaxViews {
    View x, index;
};
struct SampleViews {
    View x, u, index;
};

CrossEntropyViews check(Context& c, const so8t_cross_entropy_params& p);
ArgmaxViews check(Context& c, const so8t_argmax_params& p);
SampleViews check(Context& c, const so8t_sample_params& p);

}  // namespace so8t
