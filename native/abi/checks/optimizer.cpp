#include "checks/optimizer.h"

#include <cmath>

#include "context.h"
#include "dtypes.h"

namespace so8t {

GlobalNormViews check(Context& c, const so8t_global_norm_params& p) {
    check_size("n", p.n);
    GlobalNormViews v;
    v.x = c.vector(p.x, "x", p.n, kF32);
    v.norm = c.vector(p.norm, "norm", 1, kF32);
    return v;
}

AdamWViews check(Context& c, const so8t_adamw_params& p) {
    check_size("n", p.n);
    check_size("step", p.step, 1);
    AdamWViews v;
    v.param = c.vector(p.param, "param", p.n, kF32);
    v.gradient = c.vector(p.gradient, "gradient", p.n, kF32);
    v.m = c.vector(p.m, "m", p.n, kF32 | kU8);
    v.v = c.vector(p.v, "v", p.n, only(v.m.dtype));
    if (p.max_norm > 0) v.norm = c.vector(p.norm, "norm", 1, kF32);
    if (v.m.dtype == SO8T_FLOAT32) return v;
    const int64_t blocks = ceil_div(p.n, kStates);
    v.m_absmax = c.vector(p.m_absmax, "m_absmax", blocks, kF32);
    v.v_absmax = c.vector(p.v_absmax, "v_absmax", blocks, kF32);
    v.m_code = c.vector(p.m_code, "m_code", kCodes, kF32);
    v.v_code = c.vector(p.v_code, "v_code", kCodes, kF32);
    check_code_book(c, v.m_code, kCodes);
    check_code_book(c, v.v_code, kCodes);
    return v;
}

AdamWFactors factors_of(const so8t_adamw_params& p) {
    AdamWFactors f;
    f.beta1 = static_cast<float>(p.beta1);
    f.beta2 = static_cast<float>(p.beta2);
    f.rest1 = static_cast<float>(1 - p.beta1);
    f.rest2 = static_cast<float>(1 - p.beta2);
    f.decay = static_cast<float>(1 - p.learning_rate * p.weight_decay);
    f.rate = static_cast<float>(-p.learning_rate / (1 - std::pow(p.beta1, static_cast<double>(p.step))));
    f.correction = static_cast<float>(std::sqrt(1 - std::pow(p.beta2, static_cast<double>(p.step))));
    f.epsilon = static_cast<float>(p.epsilon);
    f.max_norm = p.max_norm > 0 ? static_cast<float>(p.max_norm) : 0.0f;
    return f;
}

}  // namespace so8t
