// The plans of a context's attention by cuDNN, and whether it is used at all.
#pragma once

#include <map>

#include "algorithms.h"
#include "cudnn_attention.h"
#include "cudnn_proof.h"
#include "cudnn_sdpa.h"

namespace so8t {

using namespace cudnn;

// What stays between the calls of one class.
struct Planned {
    std::unique_ptr<Graph> graph;
    std::unique_ptr<Plan> plan;      // null: the own kernels do it
    Descriptor described = nullptr;  // the graph
    Operands operands;
    std::string product;  // as the file of algorithms names it
    StoredEngine engine{};
    bool proved = false;  // in this run
    std::string why;
};

using Once = std::function<void()>;                         // cuDNN, into the call's own matrices
using Own = std::function<void(const std::vector<View>&)>;  // the own kernels, into copies

struct CudnnAttention::State {
    Context& c;
    enum Wanted { automatic, own, always } wanted = automatic;
    bool may_begin = true;  // false: a run that began with the own kernels, or begins, keeps to them
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
    std::unique_ptr<Plan> plan_of(const Planned& p, const Engine& e) { return std::unique_ptr<Plan>(new Plan(*api, p.described, {handle, nullptr}, e, false)); }
    void settle(Planned& p, const std::string& wrong);
    bool prove(Planned& p, const std::vector<Result>& results, const Once& once, const Own& own);
    bool carry_out(Planned& p, const std::vector<Result>& results, const Once& once, const Own& own);
    bool declined(const std::string& reason) const;
    template <class P, class V>
    bool suits(const P& p, const V& v);
};

}  // namespace so8t
