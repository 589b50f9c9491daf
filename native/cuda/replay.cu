// A recording becomes a CUDA graph: one launch instead of hundreds, which would take most of a decoded token's time.
// Reference: TestRecording in native/recording_test.go.
#include "recordings.h"

#include "context.h"
#include "profile.h"

namespace so8t {

#if defined(SO8T_EMULATED)

void replay(Context& c, Recording& r) { run_calls(c, r); }

#else

namespace {

struct Graph {
    cudaGraphExec_t graph = nullptr;
    uint64_t moves = 0;  // Context::moves before its capture
    int failures = 0;
    ~Graph() {
        if (graph) cudaGraphExecDestroy(graph);
    }
};

constexpr int kTries = 3;  // an operation that allocates cannot be captured; the next time it need not

// If it fails, no operation has run.
bool capture(Context& c, const Recording& r, Graph& g) {
    if (g.graph) cudaGraphExecDestroy(g.graph);
    g.graph = nullptr;
    g.moves = c.moves;    // before: what the captured operations move makes their own addresses stale
    integers_changed(c);  // the graph holds every check
    if (cudaStreamBeginCapture(c.stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
        cudaGetLastError();
        return false;
    }
    bool whole = true;
    try {
        run_calls(c, r);
    } catch (...) {
        whole = false;
    }
    cudaGraph_t captured = nullptr;
    whole = cudaStreamEndCapture(c.stream, &captured) == cudaSuccess && captured && whole;
    whole = whole && cudaGraphInstantiate(&g.graph, captured, 0) == cudaSuccess;
    if (captured) cudaGraphDestroy(captured);
    cudaGetLastError();  // left by an aborted capture
    if (!whole) {
        g.graph = nullptr;
        g.failures++;
        integers_changed(c);
    }
    return whole;
}

}  // namespace

void replay(Context& c, Recording& r) {
    if (!r.prepared) r.prepared = std::make_shared<Graph>();
    Graph& g = *static_cast<Graph*>(r.prepared.get());
    const bool fresh = g.graph && g.moves == c.moves;
    if (c.profile || (!fresh && (g.failures >= kTries || !capture(c, r, g)))) {
        run_calls(c, r);
        return;
    }
    check_cuda(cudaGraphLaunch(g.graph, c.stream), "cudaGraphLaunch");
    integers_changed(c);  // its operations may have written int32, as run_calls would tell
}

#endif

}  // namespace so8t
