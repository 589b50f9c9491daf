// Which attention is computed by cuDNN, with what plan, and what it needs beside q, k and v: where each sequence begins, and
// lse as [rows, heads]. A run keeps to what its file of algorithms says: the first context writes whether cuDNN is used, its
// version and each plan's engine; a context that lacks that version uses the own kernels, as does a run whose file is older
// than such lines.
// Reference: TestCuDNNAttention in native/cudnn_test.go.
#include "cudnn_attention.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include "algorithms.h"
#include "cudnn_sdpa.h"
#include "operations.h"

namespace so8t {

using namespace cudnn;

namespace {

constexpr int kPlaceThreads = 256;
constexpr int64_t kMostWorkspace = int64_t(320) << 20;  // of a plan; engine/phi3/plan.go counts it

struct Strides {
    int at[kOperands];
};

// Where sequence i begins in each operand, and its length; those beyond the last are empty.
__global__ void __launch_bounds__(kPlaceThreads)
    place_sequences(const int32_t* cu, int sequences, int batch, const Strides strides, int32_t* offsets, int32_t* lengths) {
    for (int i = blockIdx.x * kPlaceThreads + threadIdx.x; i <= batch; i += gridDim.x * kPlaceThreads) {
        const int first = cu[i < sequences ? i : sequences], next = cu[i + 1 < sequences ? i + 1 : sequences];
        for (int o = 0; o < kOperands; o++) offsets[o * (batch + 1) + i] = first * strides.at[o];
        if (i < batch) lengths[i] = next - first;
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

std::string key_of(const char* pass, const Sdpa& s) {
    std::string text = pass;
    for (int64_t x : {s.batch, s.length, s.heads, s.kv_heads, s.head_dim, s.window, s.q, s.k, s.v, s.out, s.dout, s.dq, s.dk, s.dv})
        text += ' ' + std::to_string(x);
    return text;
}

// What stays between the calls of one class.
struct Planned {
    std::unique_ptr<Graph> graph;
    std::unique_ptr<Plan> plan;  // null: the own kernels do it
    Operands operands;
    std::string why;
};

struct Choice {
    int64_t version, unused[7];  // 0: the own kernels
};

}  // namespace

struct CudnnAttention::State {
    Context& c;
    enum Wanted { automatic, own, always } wanted = automatic;
    Algorithms algorithms{};
    bool used = false;
    std::string why{};  // it is not used
    const Api* api = nullptr;
    Handle handle = nullptr;
    std::map<std::string, Planned> plans{};

    void choose();
    void open_once();
    Planned& planned(const char* pass, const Sdpa& s);
    void make(Planned& p, const std::string& key, bool backward, const Sdpa& s);
    bool declined(const std::string& reason) const;
    template <class P, class V>
    bool suits(const P& p, const V& v);
};

CudnnAttention::CudnnAttention(Context& c, const std::string& path) : state_(new State{c}) {
    State& s = *state_;
    const char* variable = std::getenv("SO8T_CUDA_ATTENTION");
    const std::string wanted = variable && *variable ? variable : "auto";
    if (wanted != "auto" && wanted != "own" && wanted != "cudnn") fail("SO8T_CUDA_ATTENTION=%s is not auto, own or cudnn", wanted.c_str());
    s.wanted = wanted == "own" ? State::own : wanted == "cudnn" ? State::always : State::automatic;
    s.algorithms.open(path, c.name);
    if (s.wanted != State::own) s.choose();
}

CudnnAttention::~CudnnAttention() {
    state_->plans.clear();
    if (state_->handle) state_->api->Destroy(state_->handle);
}

// Whether cuDNN is used at all, by the card, the run's file and the library. A context that finds the file empty decides for
// the run, before any product has written to it.
void CudnnAttention::State::choose() {
    if (!ordered_backward(c.capability, SIZE_MAX)) {
        why = "cuDNN has no deterministic engine for packed sequences on " + c.isa;
        return;
    }
    Choice choice{};
    const bool begins = algorithms.empty();
    algorithms.find("attention", &choice);
    if (wanted == automatic && !begins && choice.version == 0) {
        why = "the run began with the library's own kernels";
        return;
    }
    api = find(why);
    const int64_t version = api ? static_cast<int64_t>(api->GetVersion()) : 0;
    used = api && ordered_backward(c.capability, static_cast<size_t>(version));
    if (api && !used) why = "cuDNN " + std::to_string(version) + " has no deterministic engine for packed sequences on " + c.isa;
    if (wanted != automatic) return;
    const int64_t here = used ? version : 0;
    if (begins) {
        choice.version = here;
        algorithms.add("attention", &choice);  // what another context wrote first counts
    }
    if (here == choice.version) return;
    used = false;
    why = "the run began with cuDNN " + std::to_string(choice.version) + ", here is " + (api ? std::to_string(version) : "none");
    std::fprintf(stderr, "attention: %s: this library's own kernels go on, whose results differ in their last bits\n", why.c_str());
}

void CudnnAttention::State::open_once() {
    if (handle) return;
    try {
        check(*api, api->Create(&handle), "cudnnCreate");
        check(*api, api->SetStream(handle, c.stream), "cudnnSetStream");
    } catch (const Unsupported& u) {
        device_failed("%s (SO8T_CUDA_ATTENTION=own does without cuDNN)", u.text.c_str());
    }
}

bool CudnnAttention::State::declined(const std::string& reason) const {
    if (wanted == always) device_failed("SO8T_CUDA_ATTENTION=cudnn: %s", reason.c_str());
    return false;
}

void CudnnAttention::State::make(Planned& p, const std::string& key, bool backward, const Sdpa& s) {
    p.graph.reset(new Graph(*api));
    p.operands = backward ? build_backward(*p.graph, s) : build_forward(*p.graph, s);
    const Descriptor graph = p.graph->finish_graph(handle);
    const std::string product = "cuDNN " + std::to_string(api->GetVersion()) + " attention " + key;
    std::vector<Engine> engines;
    StoredEngine chosen;
    const bool known = algorithms.find(product, &chosen);
    if (known) {
        engines = {engine_of(chosen)};
    } else if (backward) {
        engines = {*ordered_backward(c.capability, api->GetVersion())};
    } else {
        engines = proposed(*api, graph, {handle, nullptr});
    }
    p.why = "cuDNN has no engine for " + key;
    const auto plan_of = [&](const Engine& e) { return std::unique_ptr<Plan>(new Plan(*api, graph, {handle, nullptr}, e, false)); };
    for (const Engine& e : engines) {
        try {
            std::unique_ptr<Plan> plan = plan_of(e);
            if (plan->workspace() > kMostWorkspace) throw Unsupported{"cuDNN wants " + std::to_string(plan->workspace()) + " bytes of workspace for " + key};
            chosen = stored(e);
            p.plan = std::move(plan);
            break;
        } catch (const Unsupported& u) {
            p.why = u.text;
        }
    }
    if (!p.plan || known) return;
    const StoredEngine mine = chosen;
    algorithms.add(product, &chosen);
    if (std::memcmp(&mine, &chosen, sizeof mine) != 0) p.plan = plan_of(engine_of(chosen));
}

Planned& CudnnAttention::State::planned(const char* pass, const Sdpa& s) {
    const std::string key = key_of(pass, s);
    const auto at = plans.find(key);
    if (at != plans.end()) return at->second;
    Planned& p = plans[key];
    try {
        make(p, key, std::strcmp(pass, "backward") == 0, s);
    } catch (const Unsupported& u) {
        p.why = u.text;
    }
    return p;
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

void bind_sequences(Context& c, Scratch& scratch, Bound& b, const Operands& t, const Sdpa& s, const View& cu_seqlens, int64_t sequences) {
    int32_t *offsets = scratch.take<int32_t>(kOperands * (s.batch + 1)), *lengths = scratch.take<int32_t>(s.batch);
    const int64_t each[kOperands] = {s.q, s.k, s.v, s.out, s.heads, s.dout, s.dq, s.dk, s.dv};
    Strides strides;
    for (int o = 0; o < kOperands; o++) strides.at[o] = static_cast<int>(each[o]);
    LAUNCH(place_sequences, dim3(static_cast<unsigned>(ceil_div(s.batch + 1, kPlaceThreads))), dim3(kPlaceThreads), 0, c.stream, cu_seqlens.as<const int32_t>(),
           static_cast<int>(sequences), static_cast<int>(s.batch), strides, offsets, lengths);
    launched("place_sequences");
    for (int o = 0; o < kOperands; o++) b.add(t.offsets[o], offsets + o * (s.batch + 1));
    b.add(t.lengths, lengths);
}

void bind_numbers(Bound& b, const Operands& t, const Numbers& n) {
    b.add(t.scale, &n.scale);
    b.add(t.window, &n.window);
    b.add(t.one, &n.one);
    b.add(t.nothing, &n.nothing);
}

void turn(Context& c, const View& lse, float* statistics, int64_t rows, int64_t heads, bool to_lse) {
    LAUNCH(turn_statistics, dim3(static_cast<unsigned>(ceil_div(rows * heads, kPlaceThreads))), dim3(kPlaceThreads), 0, c.stream, lse.as<float>(), lse.stride,
           statistics, static_cast<int>(rows), static_cast<int>(heads), to_lse);
    launched("turn_statistics");
}

void run(Context& c, Scratch& scratch, Handle handle, Plan& plan, const Bound& b) {
    void* workspace = scratch.take<char>(plan.workspace());
    try {
        plan.run(handle, b.tensors, b.addresses, workspace);
    } catch (const Unsupported& u) {
        device_failed("%s", u.text.c_str());
    }
}

}  // namespace

bool CudnnAttention::forward(const so8t_attention_forward_params& p, const AttentionForwardViews& v) {
    State& state = *state_;
    if (!state.suits(p, v)) return false;
    Sdpa s = sdpa_of(p);
    s.q = v.q.stride, s.k = v.k.stride, s.v = v.v.stride, s.out = v.out.stride;
    if (!cuda::wide(v.q, v.k, v.v, v.out) || !countable(p.rows, s)) return state.declined("a matrix of attention is unaligned or too large");
    Planned& planned = state.planned("forward", s);
    if (!planned.plan) return state.declined(planned.why);
    Scratch scratch(state.c);
    Bound b;
    const Operands& t = planned.operands;
    bind_sequences(state.c, scratch, b, t, s, v.cu_seqlens, p.sequences);
    const Numbers numbers{static_cast<float>(p.scale), static_cast<float>(s.window)};
    bind_numbers(b, t, numbers);
    float* statistics = scratch.take<float>(p.rows * p.heads);
    b.add(t.operand[kQ], v.q.data);
    b.add(t.operand[kK], v.k.data);
    b.add(t.operand[kV], v.v.data);
    b.add(t.operand[kOut], v.out.data);
    b.add(t.operand[kLse], statistics);
    run(state.c, scratch, state.handle, *planned.plan, b);
    turn(state.c, v.lse, statistics, p.rows, p.heads, true);
    return true;
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
    if (!planned.plan) return state.declined(planned.why);
    Scratch scratch(state.c);
    Bound b;
    const Operands& t = planned.operands;
    bind_sequences(state.c, scratch, b, t, s, v.cu_seqlens, p.sequences);
    const Numbers numbers{static_cast<float>(p.scale), static_cast<float>(s.window)};
    bind_numbers(b, t, numbers);
    float* statistics = scratch.take<float>(p.rows * p.heads);
    turn(state.c, v.lse, statistics, p.rows, p.heads, false);
    const View* operands[kOperands] = {&v.q, &v.k, &v.v, &v.out, nullptr, &v.dout, &v.dq, &v.dk, &v.dv};
    for (int o = 0; o < kOperands; o++) b.add(t.operand[o], operands[o] ? static_cast<const void*>(operands[o]->data) : statistics);
    b.add(t.sum, scratch.take<float>(p.rows * p.heads));
    b.add(t.dq_float, scratch.take<float>(p.rows * v.dq.stride));
    run(state.c, scratch, state.handle, *planned.plan, b);
    return true;
}

}  // namespace so8t
