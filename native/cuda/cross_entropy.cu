// loss = logsumexp(logits) - logits[target]; gradient = scale * (softmax - onehot), written over the logits.
// A row of up to 32768 bfloat16 or 28672 float32 logits is read once and stays in registers between its sum and its gradient;
// the rest of a longer one is read twice. The largest value and the sum are found in one pass, each thread's sum relative to
// its own largest so far.
// Reference: TestOperations/cross_entropy in native/training_test.go.
#include "checks/logits.h"
#include "layout.h"

namespace so8t::cuda {

namespace {

constexpr int kThreads = 1024;
template <class T, int V>
constexpr int kHeld = V == 8 ? 4 : 7;  // as many as fit into 64 registers

// The largest value and the sum of e^(x - largest), of what one thread has seen.
struct Sum {
    float most = -INFINITY, total = 0;

    template <class T, int V>
    __device__ void raise(const Vec<T, V>& x) {
#pragma unroll
        for (int i = 0; i < V; i++) most = fmaxf(most, to_float(x.at[i]));
    }
    template <class T, int V>
    __device__ void add(const Vec<T, V>& x) {
        const float base = most == -INFINITY ? 0.0f : most;  // a thread may see nothing but -inf
#pragma unroll
        for (int i = 0; i < V; i++) total += expf(to_float(x.at[i]) - base);
    }
};

template <class T, int V, bool Backward>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_kernel(int64_t rows, int columns, T* logits, int64_t stride, const int32_t* target, float* loss, float scale) {
    constexpr int K = kHeld<T, V>;
    lines(rows, [&](int64_t row) {
        T* x = logits + row * stride;
        const int t = target[row];
        const int groups = columns / V;
        if (t < 0 || t >= columns) {
            if (threadIdx.x == 0) loss[row] = 0;
            if (Backward) {
                Vec<T, V> none;
#pragma unroll
                for (int i = 0; i < V; i++) none.at[i] = rounded<T>(0.0f);
                for (int at = static_cast<int>(threadIdx.x); at < groups; at += static_cast<int>(blockDim.x)) store<T, V>(x + at * V, none);
            }
            return;
        }
        const float right_logit = to_float(x[t]);
        __syncwarp();  // all have read it before its owner writes over it
        Vec<T, V> held[K];
        Sum sum;
        groups_of_line<K>(
            groups,
            [&](int at, int k) {
                held[k] = load<T, V>(x + at * V);
                sum.raise(held[k]);
            },
            [](int) {});
        groups_of_line<K>(
            groups, [&](int, int k) { sum.add(held[k]); },
            [&](int at) {
                const Vec<T, V> v = load<T, V>(x + at * V);
                const float before = sum.most;
                sum.raise(v);
                if (sum.most > before) sum.total *= expf(before - sum.most);
                sum.add(v);
            });
        const float most = line_max(sum.most);
        const float lse = logf(line_sum(sum.total * expf(sum.most - most)));
        const float right = right_logit - most;
        if (threadIdx.x == 0) loss[row] = lse - right;
        if (!Backward) return;
        const float base = most + lse;
        const auto write = [&](const Vec<T, V>& v, int at) {
            float g[V];
#pragma unroll
            for (int i = 0; i < V; i++) g[i] = scale * expf(to_float(v.at[i]) - base);
            store_floats(x + at * V, g);
            // softmax - 1 of a probability near 1
            if (t / V == at) from_float(scale * expm1f(right - lse), x[t]);
        };
        const auto write_held = [&](int at, int k) { write(held[k], at); };
        groups_of_line<K>(groups, write_held, [&](int at) { write(load<T, V>(x + at * V), at); });
    });
}

template <bool Backward>
void run(Context& c, const so8t_cross_entropy_params& p) {
    const CrossEntropyViews v = check(c, p);
    if (p.rows == 0) return;
    by_compute(v.logits.dtype, [&](auto tag) {
        using T = decltype(tag);
        by_width<T>(
            p.columns,
            [&](auto width) {
                constexpr int V = decltype(width)::value;
                const Layout l = lines_of(c, p.rows, p.columns / V, kHeld<T, V>, kThreads);
                LAUNCH((cross_entropy_kernel<T, V, Backward>), l.grid, l.block, 0, c.stream, p.rows, static_cast<int>(p.columns), v.logits.as<T>(),
                       v.logits.stride, v.target.as<int32_t>(), v.loss.as<float>(), static_cast<float>(p.scale));
            },
            v.logits);
    });
    launched("cross_entropy");
}

}  // namespace

void cross_entropy_forward(Context& c, const so8t_cross_entropy_params& p) { run<false>(c, p); }
void cross_entropy_backward(Context& c, const so8t_cross_entropy_params& p) { run<true>(c, p); }

}  // namespace so8t::cuda
