// The optimizer: a call's parameters become checked views, and its hyperparameters float32 factors.
#pragma once

#include "buffers.h"

namespace so8t {

struct Context;

struct GlobalNormViews {
    View x, norm;
};

constexpr int64_t kStates = 256;  // 8-bit states that share one absmax
constexpr int64_t kCodes = 256;   // of a code book

struct AdamWViews {
    View param, gradient, m, v;
    View norm;                                // present where gradients are clipped
    View m_absmax, v_absmax, m_code, v_code;  // 8-bit states only
};

// The factors of one step, each rounded to float32 once.
struct AdamWFactors {
    float beta1, beta2, rest1, rest2;  // rest: 1 - beta
    float decay, rate, correction, epsilon;
    float max_norm;  // 0: no clipping
};

GlobalNormViews check(Context& c, const so8t_global_norm_params& p);
AdamWViews check(Context& c, const so8t_adamw_params& p);
AdamWFactors factors_of(const so8t_adamw_params& p);

}  // namespace so8t
