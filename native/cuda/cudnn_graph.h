// An operation graph of cuDNN's backend API, and the plan that an engine makes of it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cudnn.h"

namespace so8t::cudnn {

using Four = std::array<int64_t, 4>;

// What a call of cuDNN failed with; the caller decides whether that is an error or a reason to do without it.
struct Unsupported {
    std::string text;
};

void check(const Api& api, int status, const char* what);

// A descriptor and those it was made from.
class Described {
public:
    explicit Described(const Api& api) : api_(api) {}
    Described(const Described&) = delete;
    ~Described();

protected:
    Descriptor create(int type);
    void set(Descriptor d, int name, int type, int64_t count, const void* values);
    void set(Descriptor d, int name, Descriptor value) { set(d, name, kTypeDescriptor, 1, &value); }
    void finish(Descriptor d, const char* what);
    const Api& api_;

private:
    std::vector<Descriptor> all_;
};

// The card that a plan is for: that of a handle, or, to plan without one, a description of it.
struct Target {
    Handle handle = nullptr;
    Descriptor device = nullptr;
};

class Graph : public Described {
public:
    using Described::Described;
    // Each returns the tensor's number, which a plan's caller gives its address by. Sizes and strides are in elements.
    int64_t tensor(int type, const Four& dims, const Four& strides, int64_t offsets = 0) { return add(type, dims, strides, offsets, false, false); }
    int64_t inner(int type, const Four& dims, const Four& strides, int64_t offsets = 0) { return add(type, dims, strides, offsets, true, false); }
    int64_t number(int type = kFloat) { return add(type, {1, 1, 1, 1}, {1, 1, 1, 1}, 0, false, true); }

    // c = a b, in float32, of the first m[batch] rows and so on.
    void matmul(int64_t a, int64_t b, int64_t c, int64_t m, int64_t n, int64_t k);
    // y = mode(x, b); of kSelect: t ? x : b; of kIndex: the index along an axis of x.
    void pointwise(int mode, int precision, int64_t y, int64_t x, int64_t b = 0, int64_t t = 0, int64_t axis = -1);
    void reduce(int operation, int64_t y, int64_t x);
    void reshape(int64_t y, int64_t x);
    Descriptor finish_graph(Handle handle);

private:
    int64_t add(int type, const Four& dims, const Four& strides, int64_t offsets, bool is_virtual, bool by_value);
    Descriptor at(int64_t tensor) const { return tensors_[static_cast<size_t>(tensor - 1)]; }
    std::vector<Descriptor> tensors_, operations_;
};

struct Engine {
    int64_t index = -1;
    std::vector<std::pair<int32_t, int64_t>> knobs;
};

class Plan : public Described {
public:
    // Throws Unsupported if the engine cannot run the graph on the target, or adds in an order that is not fixed and `any_order` is false.
    Plan(const Api& api, Descriptor graph, const Target& target, const Engine& engine, bool any_order);
    int64_t workspace() const { return workspace_; }
    void run(Handle handle, const std::vector<int64_t>& tensors, const std::vector<void*>& addresses, void* workspace);

private:
    Descriptor plan_ = nullptr;
    int64_t workspace_ = 0;
};

// What cuDNN's heuristics propose, best first.
std::vector<Engine> proposed(const Api& api, Descriptor graph, const Target& target);

// An engine as the file of algorithms holds it.
struct StoredEngine {
    int32_t index, count, knobs[14];
};
StoredEngine stored(const Engine& e);
Engine engine_of(const StoredEngine& s);

}  // namespace so8t::cudnn
