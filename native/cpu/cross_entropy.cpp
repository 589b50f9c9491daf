// loss = logsumexp(logits) - logits[target]; gradient = scale * (softmax - onehot), written over the logits.
#include <cmath>
#include <cstring>
#include <limits>

#include "checks/logits.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

namespace {

// log of the sum of e^(x - most), most the largest x.
template <class T>
float log_sum_exp(const T* x, int64_t n, float& most) {
    vf m = set(-std::numeric_limits<float>::infinity());
    int64_t j = 0;
    for (; j + W <= n; j += W) m = max(load(x + j), m);
    most = largest(m);
    for (; j < n; j++) most = std::fmax(most, to_float(x[j]));
    const vf base = set(most);
    vf total = set(0);
    for (j = 0; j + W <= n; j += W) total = total + exp(load(x + j) - base);
    float s = sum(total);
    for (; j < n; j++) s += std::exp(to_float(x[j]) - most);
    return std::log(s);
}

}  // namespace

void cross_entropy_forward(Context& c, const so8t_cross_entropy_params& p) {
    const CrossEntropyViews v = check(c, p);
    by_compute(v.logits.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(p.rows, [&](int64_t i, Worker&) {
            const int32_t t = v.target.as<int32_t>()[i];
            float& out = v.loss.as<float>()[i];
            out = 0;
            if (t < 0) return;
            const T* x = v.logits.row<T>(i);
            float most;
            const float lse = log_sum_exp(x, p.columns, most);
            out = lse - (to_float(x[t]) - most);
        });
    });
}

void cross_entropy_backward(Context& c, const so8t_cross_entropy_params& p) {
    const CrossEntropyViews v = check(c, p);
    by_compute(v.logits.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(p.rows, [&](int64_t i, Worker&) {
            const int32_t t = v.target.as<int32_t>()[i];
            float& out = v.loss.as<float>()[i];
            T* x = v.logits.row<T>(i);
            if (t < 0) {
                out = 0;
                std::memset(static_cast<void*>(x), 0, static_cast<size_t>(p.columns) * sizeof(T));
                return;
            }
            float most;
            const float lse = log_sum_exp(x, p.columns, most), right = to_float(x[t]) - most;
            out = lse - right;
            const float scale = static_cast<float>(p.scale);
            const vf base = set(most + lse), by = set(scale);
            for_vectors(p.columns, [&](int64_t j, auto n) { store(x + j, by * exp(load(x + j, n) - base), n); });
            from_float(scale * std::expm1(right - lse), x[t]);
        });
    });
}

}  // namespace so8t::SO8T_ISA
