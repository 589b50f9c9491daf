// Which attention is computed by cuDNN, and with what plan. A run keeps to what its file of algorithms says: the first context
// writes whether cuDNN is used, its version and each plan's engine, once cudnn_proof.cu has found nothing wrong with it, or that
// it is refused. A context that lacks that version uses the own kernels, as does a run whose file is older than such lines.
// Reference: TestCuDNNIsWhatARunBeganWith in native/cudnn_test.go.
#include "cudnn_planned.h"

#include <cstdio>
#include <cstring>

namespace so8t {

namespace {

constexpr int64_t kMostWorkspace = int64_t(320) << 20;  // of a plan; engine/phi3/plan.go counts it

constexpr int32_t kRefused = -1;  // in an engine's place

struct Choice {
    int64_t version, unused[7];  // 0: the own kernels
};

std::string key_of(const char* pass, const Sdpa& s) {
    std::string text = pass;
    for (int64_t x : {s.batch, s.length, s.heads, s.kv_heads, s.head_dim, s.window, s.q, s.k, s.v, s.out, s.dout, s.dq, s.dk, s.dv})
        text += ' ' + std::to_string(x);
    return text;
}

}  // namespace

// Whether cuDNN is used at all, by the card, the run's file and the library. A context that finds the file empty decides for
// the run, before any product has written to it.
void CudnnAttention::State::choose() {
    if (!ordered_backward(c.capability, SIZE_MAX)) {
        why = "cuDNN has no deterministic engine for packed sequences on " + c.isa;
        return;
    }
    Choice choice{};
    const bool begins = may_begin && algorithms.empty();
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
    p.described = p.graph->finish_graph(handle);
    p.product = "cuDNN " + std::to_string(api->GetVersion()) + " attention " + key;
    std::vector<Engine> engines;
    p.proved = algorithms.find(p.product, &p.engine);
    if (p.proved && p.engine.index == kRefused) {
        p.why = "this run has refused " + p.product;
        return;
    }
    if (p.proved) {
        engines = {engine_of(p.engine)};
    } else if (backward) {
        engines = {*ordered_backward(c.capability, api->GetVersion())};
    } else {
        engines = proposed(*api, p.described, {handle, nullptr});
    }
    p.why = "cuDNN has no engine for " + key;
    for (const Engine& e : engines) {
        try {
            std::unique_ptr<Plan> plan = plan_of(p, e);
            if (plan->workspace() > kMostWorkspace) throw Unsupported{"cuDNN wants " + std::to_string(plan->workspace()) + " bytes of workspace for " + key};
            p.engine = stored(e);
            p.plan = std::move(plan);
            return;
        } catch (const Unsupported& u) {
            p.why = u.text;
        }
    }
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

namespace {

// What is wrong with a plan's results; the device is well.
std::string tried(Context& c, const std::vector<Result>& results, const Once& once, const Own& own) {
    try {
        return refuted(c, results, once, own);
    } catch (const Unsupported& u) {
        check_cuda(cudaStreamSynchronize(c.stream), "attention by cuDNN");
        return u.text;
    }
}

}  // namespace

// What the context that was first wrote counts for all of the run.
void CudnnAttention::State::settle(Planned& p, const std::string& wrong) {
    const StoredEngine mine = p.engine;
    if (!wrong.empty()) p.engine = {kRefused, 0, {}};
    algorithms.add(p.product, &p.engine);
    p.proved = true;
    if (p.engine.index == kRefused) {
        p.plan.reset();
        p.why = "this run refuses " + p.product + (wrong.empty() ? "" : ": ") + wrong;
        std::fprintf(stderr, "attention: %s: this library's own kernels go on\n", p.why.c_str());
    } else if (std::memcmp(&mine, &p.engine, sizeof mine) != 0) {
        p.plan = plan_of(p, engine_of(p.engine));
    }
}

// A plan that is new to the run is proved on its first call's matrices, and leaves what later calls would.
bool CudnnAttention::State::prove(Planned& p, const std::vector<Result>& results, const Once& once, const Own& own) {
    synchronize(c);  // cuDNN has no part in a failure from before, nor in boundaries that a check refuses
    const StoredEngine mine = p.engine;
    std::string wrong;
    try {
        wrong = tried(c, results, once, own);
    } catch (const Error& e) {
        if (e.code == SO8T_ERROR_DEVICE && wanted == automatic) settle(p, e.text);  // lest the resumed run meets it again
        throw;
    }
    if (!wrong.empty() && wanted == always) return declined(p.product + ": " + wrong);
    settle(p, wrong);
    if (!p.plan) return declined(p.why);
    if (!wrong.empty() || std::memcmp(&mine, &p.engine, sizeof mine) != 0) once();
    return true;
}

bool CudnnAttention::State::carry_out(Planned& p, const std::vector<Result>& results, const Once& once, const Own& own) {
    if (!p.plan) return declined(p.why);
    try {
        if (!p.proved) return prove(p, results, once, own);
        once();
        return true;
    } catch (const Unsupported& u) {
        device_failed("%s", u.text.c_str());
    }
}

}  // namespace so8t
