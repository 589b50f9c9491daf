// AdamW: Loshchilov and Hutter, arXiv 1711.05101. 8-bit states by blocks of 256: Dettmers et al., arXiv 2110.02861, in the
// order of rounding of bitsandbytes 0.50 on the CPU: a state is stored as the code nearest to its position in 65536 steps of
// [-1, 1], so that even 0 becomes the code nearest to 1 / 65535. Where _rn is written every product and sum is rounded by
// itself: contraction would change the states' bytes.
// Reference: TestOracleAdamW and TestOperations/adamw in native/training_test.go.
#include "checks/optimizer.h"
#include "layout.h"

namespace so8t::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kPositions = 65536;

struct Step : AdamWFactors {
    const float* norm;  // on the device, so that the host does not wait for it
};

__device__ inline float clip_of(const Step& s) {
    if (!(s.max_norm > 0)) return 1.0f;
    const float clip = __fdiv_rn(s.max_norm, __fadd_rn(s.norm[0], 1e-6f));
    return clip < 1.0f ? clip : 1.0f;
}

// One parameter and its two moments. Fused: the second moment's sum is rounded once, as bitsandbytes does by torch's addcmul;
// float32 states round the product too, as the CPU library's do.
template <bool Fused>
__device__ inline void update(const Step& s, float clip, float gradient, float& param, float& m, float& v) {
    const float g = __fmul_rn(gradient, clip);
    m = fmaf(g, s.rest1, __fmul_rn(m, s.beta1));
    const float old = __fmul_rn(v, s.beta2), part = __fmul_rn(s.rest2, g);
    v = Fused ? fmaf(part, g, old) : __fadd_rn(old, __fmul_rn(part, g));
    const float root = __fadd_rn(__fdiv_rn(__fsqrt_rn(v), s.correction), s.epsilon);
    param = __fadd_rn(__fmul_rn(param, s.decay), __fdiv_rn(__fmul_rn(s.rate, m), root));
}

template <int V>
__global__ void __launch_bounds__(kThreads) whole_kernel(Step s, int64_t n, float* param, const float* gradient, float* m, float* v) {
    const float clip = clip_of(s);
    const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads * V;
    for (int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * V; at < n; at += step) {
        if (at + V <= n) {
            float g[V], w[V], first[V], second[V];
            load_floats(gradient + at, g);
            load_floats(param + at, w);
            load_floats(m + at, first);
            load_floats(v + at, second);
#pragma unroll
            for (int i = 0; i < V; i++) update<false>(s, clip, g[i], w[i], first[i], second[i]);
            store_floats(param + at, w);
            store_floats(m + at, first);
            store_floats(v + at, second);
        } else {
#pragma unroll 1
            for (int64_t i = at; i < n; i++) update<false>(s, clip, gradient[i], param[i], m[i], v[i]);
        }
    }
}

// The nearest code for each of 65536 positions in [-1, 1]; of two as near, the lower.
__global__ void __launch_bounds__(kThreads) nearest_kernel(const float* m_code, const float* v_code, uint8_t* nearest) {
    const float* code = blockIdx.y == 0 ? m_code : v_code;
    const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
    const float value = __fadd_rn(__fmul_rn(__fdiv_rn(static_cast<float>(i), 65535.0f), 2.0f), -1.0f);
    int right = 0;  // the first code that is not below the value
    for (int step = kCodes / 2; step > 0; step /= 2) {
        if (code[right + step - 1] < value) right += step;
    }
    if (code[right] < value) right++;  // all are
    int at = right;
    if (right == kCodes) {
        at = kCodes - 1;
    } else if (right > 0 && !(fabsf(__fadd_rn(code[right], -value)) < fabsf(__fadd_rn(value, -code[right - 1])))) {
        at = right - 1;
    }
    nearest[blockIdx.y * kPositions + i] = static_cast<uint8_t>(at);
}

struct States {
    uint8_t* bytes[2];
    float* absmax[2];
    const float* code[2];
    const uint8_t* nearest;  // [2, 65536]
};

__device__ inline uint8_t quantized(float x, float inverse, const uint8_t* nearest) {
    const float u = fminf(fmaxf(__fmul_rn(x, inverse), -1.0f), 1.0f);
    return nearest[static_cast<uint16_t>(static_cast<int>(fmaf(__fmul_rn(__fadd_rn(u, 1.0f), 0.5f), 65535.0f, 0.5f)))];
}

// A warp takes a block of states, each lane twice four contiguous ones, so that a warp's accesses are coalesced.
template <bool Wide>
__global__ void __launch_bounds__(kThreads) eight_bit_kernel(Step s, int64_t n, float* param, const float* gradient, States states) {
    __shared__ float code[2][kCodes];
    code[0][threadIdx.x] = states.code[0][threadIdx.x];
    code[1][threadIdx.x] = states.code[1][threadIdx.x];
    __syncthreads();
    const float clip = clip_of(s);
    const int lane = threadIdx.x % 32;
    const int64_t blocks = ceil_div(n, kStates), step = static_cast<int64_t>(gridDim.x) * (kThreads / 32);
    for (int64_t block = static_cast<int64_t>(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32; block < blocks; block += step) {
        const bool whole = Wide && (block + 1) * kStates <= n;
        float w[8], g[8], moment[2][8];
        const float absmax[2] = {states.absmax[0][block], states.absmax[1][block]};
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int64_t at = block * kStates + half * 128 + lane * 4;
            Vec<float, 4> a, b;
            Vec<uint8_t, 4> state[2];
            if (whole) {
                a = load<float, 4>(param + at);
                b = load<float, 4>(gradient + at);
                state[0] = load<uint8_t, 4>(states.bytes[0] + at);
                state[1] = load<uint8_t, 4>(states.bytes[1] + at);
            } else {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const bool inside = at + i < n;
                    a.at[i] = inside ? param[at + i] : 0.0f;
                    b.at[i] = inside ? gradient[at + i] : 0.0f;
                    state[0].at[i] = inside ? states.bytes[0][at + i] : 0;
                    state[1].at[i] = inside ? states.bytes[1][at + i] : 0;
                }
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const bool inside = whole || at + i < n;
                w[4 * half + i] = a.at[i];
                g[4 * half + i] = b.at[i];
                for (int k = 0; k < 2; k++) moment[k][4 * half + i] = inside ? __fmul_rn(code[k][state[k].at[i]], absmax[k]) : 0.0f;
            }
        }
        float most[2] = {0, 0};
#pragma unroll
        for (int i = 0; i < 8; i++) {
            update<true>(s, clip, g[i], w[i], moment[0][i], moment[1][i]);
            for (int k = 0; k < 2; k++) most[k] = fmaxf(most[k], fabsf(moment[k][i]));
        }
        float inverse[2];
#pragma unroll
        for (int k = 0; k < 2; k++) {
            most[k] = warp_max(most[k]);
            inverse[k] = __fdiv_rn(1.0f, most[k]);
            if (lane == 0) states.absmax[k][block] = most[k];
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int64_t at = block * kStates + half * 128 + lane * 4;
            Vec<float, 4> a;
            Vec<uint8_t, 4> state[2];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                a.at[i] = w[4 * half + i];
                for (int k = 0; k < 2; k++) state[k].at[i] = most[k] == 0 ? 0 : quantized(moment[k][4 * half + i], inverse[k], states.nearest + k * kPositions);
            }
            if (whole) {
                store<float, 4>(param + at, a);
                store<uint8_t, 4>(states.bytes[0] + at, state[0]);
                store<uint8_t, 4>(states.bytes[1] + at, state[1]);
            } else {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    if (at + i >= n) continue;
                    param[at + i] = a.at[i];
                    states.bytes[0][at + i] = state[0].at[i];
                    states.bytes[1][at + i] = state[1].at[i];
                }
            }
        }
    }
}

}  // namespace

void adamw(Context& c, const so8t_adamw_params& p) {
    const AdamWViews views = check(c, p);
    const Step s{factors_of(p), views.norm.as<float>()};
    float* param = views.param.as<float>();
    const float* gradient = views.gradient.as<float>();
    const View m = views.m, v = views.v;
    const int64_t most_blocks = static_cast<int64_t>(c.processors) * 8 * 4;
    if (m.dtype == SO8T_FLOAT32) {
        if (p.n == 0) return;
        by_widest<float>(aligned16(param, gradient, m.data, v.data), [&](auto width) {
            constexpr int V = decltype(width)::value;
            const dim3 grid(static_cast<unsigned>(std::min(ceil_div(p.n, static_cast<int64_t>(kThreads) * V), most_blocks)));
            LAUNCH((whole_kernel<V>), grid, dim3(kThreads), 0, c.stream, s, p.n, param, gradient, m.as<float>(), v.as<float>());
        });
        launched("adamw");
        return;
    }
    if (p.n == 0) return;
    const int64_t blocks = ceil_div(p.n, kStates);
    States states;
    states.bytes[0] = m.as<uint8_t>();
    states.bytes[1] = v.as<uint8_t>();
    states.absmax[0] = views.m_absmax.as<float>();
    states.absmax[1] = views.v_absmax.as<float>();
    states.code[0] = views.m_code.as<float>();
    states.code[1] = views.v_code.as<float>();
    // Computed at each step: it takes microseconds and needs no copy of the books to compare with.
    Scratch scratch(c);
    uint8_t* nearest = scratch.take<uint8_t>(2 * kPositions);
    LAUNCH(nearest_kernel, dim3(kPositions / kThreads, 2), dim3(kThreads), 0, c.stream, states.code[0], states.code[1], nearest);
    launched("adamw");
    states.nearest = nearest;
    const dim3 grid(static_cast<unsigned>(std::min(ceil_div(blocks, kThreads / 32), most_blocks)));
    if (aligned16(param, gradient, m.data, v.data)) {
        LAUNCH((eight_bit_kernel<true>), grid, dim3(kThreads), 0, c.stream, s, p.n, param, gradient, states);
    } else {
        LAUNCH((eight_bit_kernel<false>), grid, dim3(kThreads), 0, c.stream, s, p.n, param, gradient, states);
    }
    launched("adamw");
}

}  // namespace so8t::cuda
