// Linear layers and their LoRA adapters: a call's parameters become checked views.
#pragma once

#include "buffers.h"
#include "dropout.h"

namespace so8t {

struct Context;

// A frozen base weight as it is stored.
struct Weight {
    View w;                         // int8, bfloat16 or float32 [out, in]
    const float* absmax = nullptr;  // [out], int8 only: w = q * absmax / 127
    int64_t out = 0, in = 0;
    View expanded{};  // of an int8 w, may be absent: compute [[W, B], [A, 0]]
};

// An adapter on rows [begin, begin + rows) of a fused weight. b and grad: [rows, rank].
struct Slice {
    int64_t begin = 0, rows = 0;
    View b, grad;  // grad: backward only
};

struct LinearForwardViews {
    View x, y, residual, z;
    Weight weight;
    Slice slice[SO8T_MAX_SLICES];
};
struct LinearBackwardViews {
    View dy, dx, dz, a;
    Weight weight;
    Dropout dropout;
};
struct LoRADownForwardViews {
    View x, a, z;
    Dropout dropout;
};
struct LoRADownBackwardViews {
    View x, dz, a_grad;
    Dropout dropout;
};
struct LoRAUpBackwardViews {
    View dy, z, dz;
    Slice slice[SO8T_MAX_SLICES];
};

LinearForwardViews check(Context& c, const so8t_linear_forward_params& p);
LinearBackwardViews check(Context& c, const so8t_linear_backward_params& p);
LoRADownForwardViews check(Context& c, const so8t_lora_down_forward_params& p);
LoRADownBackwardViews check(Context& c, const so8t_lora_down_backward_params& p);
LoRAUpBackwardViews check(Context& c, const so8t_lora_up_backward_params& p);

}  // namespace so8t
