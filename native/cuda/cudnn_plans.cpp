// Has cuDNN itself plan attention for a card that is not there: prints each pass's engine and workspace, or why there is none.
//   cudnn_plans <libcudnn.so.9> <the card's properties, JSON> <compute capability> <batch,length,heads,kv_heads,head_dim,window>...
// cuDNN finalizes a plan without a GPU if something stands in for the driver (TestCudnnPlans).
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cudnn_sdpa.h"

using namespace so8t::cudnn;

namespace {

struct Card : Described {
    Descriptor device;
    Card(const Api& api, const char* json) : Described(api), device(create(kDeviceProperties)) {
        set(device, kDeviceJson, kTypeChar, static_cast<int64_t>(std::strlen(json)) + 1, json);
        finish(device, "the card's properties");
    }
};

void plan(const Api& api, const Target& card, int capability, const Sdpa& s, bool backward) {
    Graph g(api);
    backward ? build_backward(g, s) : build_forward(g, s);
    const Descriptor graph = g.finish_graph(nullptr);
    std::vector<Engine> engines;
    if (backward) {
        const Engine* engine = ordered_backward(capability, api.GetVersion());
        if (!engine) throw Unsupported{"no deterministic engine"};
        engines = {*engine};
    } else {
        engines = proposed(api, graph, card);
        if (engines.empty()) throw Unsupported{"no engine is proposed"};
    }
    const Plan p(api, graph, card, engines[0], false);
    std::printf("engine %lld", static_cast<long long>(engines[0].index));
    for (const auto& [type, value] : engines[0].knobs) std::printf(" %d=%lld", type, static_cast<long long>(value));
    std::printf(", workspace %lld\n", static_cast<long long>(p.workspace()));
}

}  // namespace

int main(int n, char** arguments) {
    void* library = dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        std::puts(dlerror());
        return 1;
    }
    Api api;
#define X(name, result, parameters) api.name = reinterpret_cast<result(*) parameters>(dlsym(library, "cudnn" #name));
    SO8T_CUDNN(X)
#undef X
    std::printf("cuDNN %zu\n", api.GetVersion());
    try {
        const Card card(api, arguments[2]);
        for (int i = 4; i < n; i++) {
            Sdpa s{};
            if (std::sscanf(arguments[i], "%ld,%ld,%ld,%ld,%ld,%ld", &s.batch, &s.length, &s.heads, &s.kv_heads, &s.head_dim, &s.window) != 6) return 1;
            s.q = s.k = s.v = s.dq = s.dk = s.dv = (s.heads + 2 * s.kv_heads) * s.head_dim;  // one matrix holds all three
            s.out = s.dout = s.heads * s.head_dim;
            for (const bool backward : {false, true}) {
                std::printf("%s %s: ", arguments[i], backward ? "backward" : "forward");
                try {
                    plan(api, {nullptr, card.device}, std::atoi(arguments[3]), s, backward);
                } catch (const Unsupported& u) {
                    std::puts(u.text.c_str());
                }
            }
        }
    } catch (const Unsupported& u) {
        std::puts(u.text.c_str());
        return 1;
    }
}
