// What cuDNN's attention needs beside q, k and v: where each sequence begins, and lse as [rows, heads].
// Reference: TestCuDNNAttention in native/cudnn_test.go.
#include "cudnn_attention.h"

#include <cstdlib>

#include "attention.h"
#include "cudnn_planned.h"
#include "operations.h"

namespace so8t {

namespace {

constexpr int kPlaceThreads = 256;

using cuda::least;
__device__ inline int within(int x, int most) { return x < 0 ? 0 : least(x, most); }

struct Strides {
    int at[kOperands];
};

// Where sequence i begins in each operand, and its length; those beyond the last are empty. All lie within the matrices, even if
// the queued checks will refuse the boundaries.
__global__ void __launch_bounds__(kPlaceThreads)
    place_sequences(const int32_t* cu, int sequences, int rows, int batch, int longest, const Strides strides, int32_t* offsets, int32_t* lengths) {
    for (int i = blockIdx.x * kPlaceThreads + threadIdx.x; i <= batch; i += gridDim.x * kPlaceThreads) {
        const int first = within(cu[least(i, sequences)], rows), next = within(cu[least(i + 1, sequences)], rows);
        for (int o = 0; o < kOperands; o++) offsets[o * (batch + 1) + i] = first * strides.at[o];
        if (i < batch) lengths[i] = within(next - first, longest);
    }
}

// lse is [heads, rows], cuDNN's statistics are [rows, heads].
__global__ void __launch_bounds__(kPlaceThreads) turn_statistics(float* lse, int64_t stride, float* statistics, int rows, int heads, bool to_lse) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kPlaceThreads + threadIdx.x;
    if (i >= static_cast<int64_t>(rows) * heads) return;
    float &x = lse[i / rows * stride + i % rows], &y = statistics[i % rows * heads + i / rows];
    if (to_lse) {
        x = y;
    } else {
        y = x;
    }
}

// Each class of sizes has its own plan, which takes cuDNN a second to make.
int64_t batch_class(int64_t n) {
    int64_t size = 1;
    while (size < n) size *= 4;
    return size;
}
int64_t length_class(int64_t n) {
    int64_t size = 128;
    while (size < n) size *= 2;
    return size;
}

}  // namespace

CudnnAttention::CudnnAttention(Context& c, const std::string& path) : state_(new State{c}) {
    State& s = *state_;
    const char* variable = std::getenv("SO8T_CUDA_ATTENTION");
    s.may_begin = variable && *variable;
    const std::string wanted = s.may_begin ? variable : "auto";
    if (wanted != "auto" && wanted != "own" && wanted != "cudnn") fail("SO8T_CUDA_ATTENTION=%s is not auto, own or cudnn", wanted.c_str());
    s.wanted = wanted == "own" ? State::own : wanted == "cudnn" ? State::always : State::automatic;
    s.algorithms.open(path, c.name);
    if (s.wanted != State::own) s.choose();
}

CudnnAttention::~CudnnAttention() {
    state_->plans.clear();
    if (state_->handle) state_->api->Destroy(state_->handle);
}

// Only training tells the longest sequence, and computes in bfloat16 on a GPU.
template <class P, class V>
bool CudnnAttention::State::suits(const P& p, const V& v) {
    if (wanted == own || v.q.dtype != SO8T_BFLOAT16 || p.longest == 0 || p.rows == 0) return false;
    if (!used) return declined(why);
    if (p.head_dim % 16 != 0 || p.head_dim > 128) return declined("heads of " + std::to_string(p.head_dim) + " are no multiple of 16 up to 128");
    if (p.longest < 2) return declined("every sequence is of one row");
    open_once();
    return true;
}

namespace {

// Offsets are int32.
bool countable(int64_t rows, const Sdpa& s) {
    for (int64_t stride : {s.q, s.k, s.v, s.out, s.dout, s.dq, s.dk, s.dv}) {
        if (rows * stride > INT32_MAX) return false;
    }
    return true;
}

template <class P>
Sdpa sdpa_of(const P& p) {
    return {batch_class(p.sequences), length_class(p.longest), p.heads, p.kv_heads, p.head_dim, p.window < p.longest ? p.window : 0, 0, 0, 0, 0, 0, 0, 0, 0};
}

// The tensors that a plan runs on.
struct Bound {
    std::vector<int64_t> tensors;
    std::vector<void*> addresses;
    void add(int64_t tensor, const void* address) {
        if (tensor == 0) return;
        tensors.push_back(tensor);
        addresses.push_back(const_cast<void*>(address));
    }
};

void bind_sequences(Context& c, Scratch& scratch, Bound& b, const Operands& t, const Sdpa& s, const View& cu_seqlens, int64_t sequences, int64_t rows) {
    int32_t *offsets = scratch.take<int32_t>(kOperands * (s.batch + 1)), *lengths = scratch.take<int32_t>(s.batch);
    const int64_t each[kOperands] = {s.q, s.k, s.v, s.out, s.heads, s.dout, s.dq, s.dk, s.dv};
    Strides strides;
    for (int o = 0; o < kOperands; o++) strides.at[o] = static_cast<int>(each[o]);
    LAUNCH(place_sequences, dim3(static_cast<unsigned>(ceil_div(s.batch + 1, kPlaceThreads))), dim3(kPlaceThreads), 0, c.stream, cu_seqlens.as<const int32_t>(),
           static_cast<int>(sequences), static_cast<int>(rows), static_cast<int>(s.batch), static_cast<int>(s.length), strides, offsets, lengths);
    launched("place_sequences");
    for (int o = 0; o < kOperands; o++) b.add(t.offsets[o], offsets + o * (s.batch + 1));
    b.add(t.lengths, lengths);
}

void turn(Context& c, const View& lse, float* statistics, int64_t rows, int64_t heads, bool to_lse) {
    LAUNCH(turn_statistics, dim3(static_cast<unsigned>(ceil_div(rows * heads, kPlaceThreads))), dim3(kPlaceThreads), 0, c.stream, lse.as<float>(), lse.stride,
           statistics, static_cast<int>(rows), static_cast<int>(heads), to_lse);
    launched("turn_statistics");
}

// One execution of a plan on a call's matrices. Where there is none, the operand is lse, as cuDNN's statistics, or not the pass's.
struct Execution {
    Scratch scratch;
    Bound bound;
    Numbers numbers;  // which the plan reads where they lie
    float* statistics;

    template <class P>
    Execution(Context& c, const Operands& t, const Sdpa& s, const P& p, const View& cu_seqlens, const View* const (&matrices)[kOperands])
        : scratch(c), numbers{static_cast<float>(p.scale), static_cast<float>(s.window)}, statistics(scratch.take<float>(p.rows * p.heads)) {
        bind_sequences(c, scratch, bound, t, s, cu_seqlens, p.sequences, p.rows);
        bound.add(t.scale, &numbers.scale);
        bound.add(t.window, &numbers.window);
        bound.add(t.one, &numbers.one);
        bound.add(t.nothing, &numbers.nothing);
        for (int o = 0; o < kOperands; o++) bound.add(t.operand[o], matrices[o] ? static_cast<const void*>(matrices[o]->data) : statistics);
    }
    void run(Handle handle, Plan& plan) { plan.run(handle, bound.tensors, bound.addresses, scratch.take<char>(plan.workspace())); }
};

}  // namespace

bool CudnnAttention::forward(const so8t_attention_forward_params& p, const AttentionForwardViews& v) {
    State& state = *state_;
    if (!state.suits(p, v)) return false;
    Sdpa s = sdpa_of(p);
    s.q = v.q.stride, s.k = v.k.stride, s.v = v.v.stride, s.out = v.out.stride;
    if (!cuda::wide(v.q, v.k, v.v, v.out) || !countable(p.rows, s)) return state.declined("a matrix of attention is unaligned or too large");
    Planned& planned = state.planned("forward", s);
    const auto once = [&] {
        Execution e(state.c, planned.operands, s, p, v.cu_seqlens, {&v.q, &v.k, &v.v, &v.out});
        e.run(state.handle, *planned.plan);
        turn(state.c, v.lse, e.statistics, p.rows, p.heads, true);
    };
    const std::vector<Result> results = {{"out", v.out, p.rows, p.heads * p.head_dim, p.head_dim}, {"lse", v.lse, p.heads, p.rows, p.rows}};
    return state.carry_out(planned, results, once, [&](const std::vector<View>& copies) {
        AttentionForwardViews w = v;
        w.out = copies[0], w.lse = copies[1];
        cuda::own_forward(state.c, p, w);
    });
}

bool CudnnAttention::backward(const so8t_attention_backward_params& p, const AttentionBackwardViews& v) {
    State& state = *state_;
    if (!state.suits(p, v)) return false;
    Sdpa s = sdpa_of(p);
    s.q = v.q.stride, s.k = v.k.stride, s.v = v.v.stride, s.out = v.out.stride, s.dout = v.dout.stride;
    s.dq = v.dq.stride, s.dk = v.dk.stride, s.dv = v.dv.stride;
    if (!cuda::wide(v.q, v.k, v.v, v.out, v.dout, v.dq, v.dk, v.dv) || !countable(p.rows, s)) {
        return state.declined("a matrix of attention is unaligned or too large");
    }
    Planned& planned = state.planned("backward", s);
    const auto once = [&] {
        const Operands& t = planned.operands;
        Execution e(state.c, t, s, p, v.cu_seqlens, {&v.q, &v.k, &v.v, &v.out, nullptr, &v.dout, &v.dq, &v.dk, &v.dv});
        turn(state.c, v.lse, e.statistics, p.rows, p.heads, false);
        e.bound.add(t.sum, e.scratch.take<float>(p.rows * p.heads));
        e.bound.add(t.dq_float, e.scratch.take<float>(p.rows * v.dq.stride));
        e.run(state.handle, *planned.plan);
    };
    const int64_t width = p.heads * p.head_dim, kv_width = p.kv_heads * p.head_dim;
    const std::vector<Result> results = {
        {"dq", v.dq, p.rows, width, p.head_dim}, {"dk", v.dk, p.rows, kv_width, p.head_dim}, {"dv", v.dv, p.rows, kv_width, p.head_dim}};
    return state.carry_out(planned, results, once, [&](const std::vector<View>& copies) {
        AttentionBackwardViews w = v;
        w.dq = copies[0], w.dk = copies[1], w.dv = copies[2];
        cuda::own_backward(state.c, p, w);
    });
}

}  // namespace so8t
