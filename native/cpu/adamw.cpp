// AdamW: Loshchilov and Hutter, arXiv 1711.05101. 8-bit states by blocks of 256: Dettmers et al., arXiv 2110.02861, in the
// order of rounding of bitsandbytes 0.50 on the CPU: a state is stored as the code nearest to its position in 65536 steps of
// [-1, 1], so that even 0 becomes the code nearest to 1 / 65535.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "checks/optimizer.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

namespace {

constexpr int64_t kBlocksPerUnit = 64;

// One vector of parameters and its two moments. Fused: the second moment's sum is rounded once, as bitsandbytes does by
// torch's addcmul; float32 states round the product too, as they always did, so that an old run goes on with the same bits.
template <bool Fused>
inline void update(const AdamWFactors& s, float clip, vf gradient, vf& param, vf& m, vf& v) {
    const vf g = gradient * set(clip);
    m = fma(g, set(s.rest1), m * set(s.beta1));
    const vf old = v * set(s.beta2), part = set(s.rest2) * g;
    v = Fused ? fma(part, g, old) : old + part * g;
    param = param * set(s.decay) + set(s.rate) * m / (sqrt(v) / set(s.correction) + set(s.epsilon));
}

// The nearest code for each of 65536 positions in [-1, 1]; of two as near, the lower.
const uint8_t* table_of(CodeTable& t, const float* code) {
    if (!t.code.empty() && std::memcmp(t.code.data(), code, 256 * sizeof(float)) == 0) return t.nearest.data();
    t.code.assign(code, code + 256);
    t.nearest.resize(65536);
    int right = 0;
    for (int i = 0; i < 65536; i++) {
        const float value = static_cast<float>(i) / 65535.0f * 2.0f - 1.0f;
        while (right < 256 && code[right] < value) right++;
        int nearest = right;
        if (right == 256) {
            nearest = 255;
        } else if (right > 0 && !(std::fabs(code[right] - value) < std::fabs(value - code[right - 1]))) {
            nearest = right - 1;
        }
        t.nearest[static_cast<size_t>(i)] = static_cast<uint8_t>(nearest);
    }
    return t.nearest.data();
}

// A block's largest magnitude, and each value's code.
void quantize(const float* x, int64_t n, const uint8_t* nearest, uint8_t* out, float& absmax) {
    vf most = set(0);
    for_vectors(n, [&](int64_t j, auto k) { most = max(most, abs(load(x + j, k))); });
    absmax = largest(most);
    if (absmax == 0) {
        std::memset(out, 0, static_cast<size_t>(n));
        return;
    }
    const vf inverse = set(1.0f / absmax), one = set(1.0f), half = set(0.5f);
    float at[kStates + W];
    for (int64_t j = 0; j < n; j += W) {
        const vf u = min(max(load(x + j) * inverse, -one), one);
        store(at + j, fma((u + one) * half, set(65535.0f), half));
    }
    for (int64_t j = 0; j < n; j++) out[j] = nearest[static_cast<uint16_t>(static_cast<int>(at[j]))];
}

}  // namespace

void adamw(Context& c, const so8t_adamw_params& p) {
    const AdamWViews views = check(c, p);
    const AdamWFactors s = factors_of(p);
    const float clip = s.max_norm > 0 ? std::min(1.0f, s.max_norm / (views.norm.as<float>()[0] + 1e-6f)) : 1.0f;
    float* param = views.param.as<float>();
    const float* gradient = views.gradient.as<float>();
    const View m = views.m, v = views.v;
    const int64_t blocks = ceil_div(p.n, kStates), units = ceil_div(blocks, kBlocksPerUnit);
    if (m.dtype == SO8T_FLOAT32) {
        c.parallel(units, [&](int64_t unit, Worker&) {
            const int64_t begin = unit * kBlocksPerUnit * kStates, n = std::min(kBlocksPerUnit * kStates, p.n - begin);
            float *w = param + begin, *first = m.as<float>() + begin, *second = v.as<float>() + begin;
            for_vectors(n, [&](int64_t j, auto k) {
                vf a = load(w + j, k), b = load(first + j, k), d = load(second + j, k);
                update<false>(s, clip, load(gradient + begin + j, k), a, b, d);
                store(w + j, a, k);
                store(first + j, b, k);
                store(second + j, d, k);
            });
        });
        return;
    }
    float* absmax[2] = {views.m_absmax.as<float>(), views.v_absmax.as<float>()};
    const float* code[2] = {views.m_code.as<float>(), views.v_code.as<float>()};
    const uint8_t* nearest[2] = {table_of(c.code_tables[0], code[0]), table_of(c.code_tables[1], code[1])};
    c.parallel(units, [&](int64_t unit, Worker&) {
        for (int64_t block = unit * kBlocksPerUnit; block < blocks && block < (unit + 1) * kBlocksPerUnit; block++) {
            const int64_t begin = block * kStates, n = std::min(kStates, p.n - begin);
            uint8_t* states[2] = {m.as<uint8_t>() + begin, v.as<uint8_t>() + begin};
            float moment[2][kStates + W] = {};
            for (int i = 0; i < 2; i++) {
                for (int64_t j = 0; j < n; j++) moment[i][j] = code[i][states[i][j]] * absmax[i][block];
            }
            for_vectors(n, [&](int64_t j, auto k) {
                vf a = load(param + begin + j, k), b = load(moment[0] + j), d = load(moment[1] + j);
                update<true>(s, clip, load(gradient + begin + j, k), a, b, d);
                store(param + begin + j, a, k);
                store(moment[0] + j, b, k);
                store(moment[1] + j, d, k);
            });
            for (int i = 0; i < 2; i++) quantize(moment[i], n, nearest[i], states[i], absmax[i][block]);
        }
    });
}

}  // namespace so8t::SO8T_ISA
