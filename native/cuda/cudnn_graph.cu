#include "cudnn_graph.h"

namespace so8t::cudnn {

void check(const Api& api, int status, const char* what) {
    if (status == 0) return;
    char last[512] = "";
    api.GetLastErrorString(last, sizeof last);
    throw Unsupported{std::string("cuDNN: ") + what + ": " + api.GetErrorString(status) + (*last ? std::string(": ") + last : "")};
}

Described::~Described() {
    for (auto d = all_.rbegin(); d != all_.rend(); ++d) api_.BackendDestroyDescriptor(*d);
}

Descriptor Described::create(int type) {
    Descriptor d = nullptr;
    check(api_, api_.BackendCreateDescriptor(type, &d), "create a descriptor");
    all_.push_back(d);
    return d;
}

void Described::set(Descriptor d, int name, int type, int64_t count, const void* values) {
    const int status = api_.BackendSetAttribute(d, name, type, count, values);
    if (status != 0) check(api_, status, ("set attribute " + std::to_string(name)).c_str());
}

void Described::finish(Descriptor d, const char* what) { check(api_, api_.BackendFinalize(d), what); }

int64_t Graph::add(int type, const Four& dims, const Four& strides, int64_t offsets, bool is_virtual, bool by_value) {
    const Descriptor d = create(kTensor);
    const int64_t id = static_cast<int64_t>(tensors_.size()) + 1, alignment = 16;
    set(d, kTensorType, kTypeDataType, 1, &type);
    set(d, kTensorDims, kTypeInt64, 4, dims.data());
    set(d, kTensorStrides, kTypeInt64, 4, strides.data());
    set(d, kTensorId, kTypeInt64, 1, &id);
    set(d, kTensorAlignment, kTypeInt64, 1, &alignment);
    if (offsets > 0) set(d, kTensorRaggedOffsets, at(offsets));
    if (is_virtual) set(d, kTensorIsVirtual, kTypeBoolean, 1, &is_virtual);
    if (by_value) set(d, kTensorIsByValue, kTypeBoolean, 1, &by_value);
    finish(d, "a tensor");
    tensors_.push_back(d);
    return id;
}

void Graph::matmul(int64_t a, int64_t b, int64_t c, int64_t m, int64_t n, int64_t k) {
    const Descriptor desc = create(kMatmul);
    const int precision = kFloat;
    set(desc, kMatmulPrecision, kTypeDataType, 1, &precision);
    finish(desc, "a matmul");
    const Descriptor d = create(kMatmulOperation);
    set(d, kMatmulA, at(a));
    set(d, kMatmulB, at(b));
    set(d, kMatmulC, at(c));
    set(d, kMatmulDesc, desc);
    if (m > 0) set(d, kMatmulM, at(m));
    if (n > 0) set(d, kMatmulN, at(n));
    if (k > 0) set(d, kMatmulK, at(k));
    finish(d, "a matmul operation");
    operations_.push_back(d);
}

void Graph::pointwise(int mode, int precision, int64_t y, int64_t x, int64_t b, int64_t t, int64_t axis) {
    const Descriptor desc = create(kPointwise);
    set(desc, kPointwiseMode, kTypePointwiseMode, 1, &mode);
    set(desc, kPointwisePrecision, kTypeDataType, 1, &precision);
    if (axis >= 0) set(desc, kPointwiseAxis, kTypeInt64, 1, &axis);
    finish(desc, "a pointwise mode");
    const Descriptor d = create(kPointwiseOperation);
    set(d, kPointwiseDesc, desc);
    set(d, kPointwiseX, at(x));
    if (b > 0) set(d, kPointwiseB, at(b));
    if (t > 0) set(d, kPointwiseT, at(t));
    set(d, kPointwiseY, at(y));
    finish(d, "a pointwise operation");
    operations_.push_back(d);
}

void Graph::reduce(int operation, int64_t y, int64_t x) {
    const Descriptor desc = create(kReduction);
    const int precision = kFloat;
    set(desc, kReductionOperator, kTypeReductionOperator, 1, &operation);
    set(desc, kReductionPrecision, kTypeDataType, 1, &precision);
    finish(desc, "a reduction");
    const Descriptor d = create(kReductionOperation);
    set(d, kReductionX, at(x));
    set(d, kReductionY, at(y));
    set(d, kReductionDesc, desc);
    finish(d, "a reduction operation");
    operations_.push_back(d);
}

void Graph::reshape(int64_t y, int64_t x) {
    const Descriptor d = create(kReshapeOperation);
    set(d, kReshapeX, at(x));
    set(d, kReshapeY, at(y));
    finish(d, "a reshape operation");
    operations_.push_back(d);
}

Descriptor Graph::finish_graph(Handle handle) {
    const Descriptor d = create(kOperationGraph);
    if (handle) set(d, kGraphHandle, kTypeHandle, 1, &handle);
    set(d, kGraphOperations, kTypeDescriptor, static_cast<int64_t>(operations_.size()), operations_.data());
    finish(d, "the operation graph");
    return d;
}

Plan::Plan(const Api& api, Descriptor graph, const Target& target, const Engine& engine, bool any_order) : Described(api) {
    const Descriptor e = create(kEngine);
    set(e, kEngineGraph, graph);
    set(e, kEngineIndex, kTypeInt64, 1, &engine.index);
    if (target.device) set(e, kEngineDevice, target.device);
    finish(e, "an engine");
    if (!any_order) {
        int notes[32] = {};
        int64_t count = 0;
        check(api_, api_.BackendGetAttribute(e, kEngineNotes, kTypeNote, 32, &count, notes), "an engine's notes");
        for (int64_t i = 0; i < count; i++) {
            if (notes[i] == kNondeterministic) throw Unsupported{"cuDNN: engine " + std::to_string(engine.index) + " adds in no fixed order"};
        }
    }
    std::vector<Descriptor> knobs;
    for (const auto& [type, value] : engine.knobs) {
        const Descriptor k = create(kKnobChoice);
        set(k, kKnobType, kTypeKnob, 1, &type);
        set(k, kKnobValue, kTypeInt64, 1, &value);
        finish(k, "a knob");
        knobs.push_back(k);
    }
    const Descriptor config = create(kEngineConfig);
    set(config, kConfigEngine, e);
    if (!knobs.empty()) set(config, kConfigKnobs, kTypeDescriptor, static_cast<int64_t>(knobs.size()), knobs.data());
    finish(config, "an engine's configuration");
    const Descriptor plan = create(kExecutionPlan);
    if (target.handle) set(plan, kPlanHandle, kTypeHandle, 1, &target.handle);
    if (target.device) set(plan, kPlanDevice, target.device);
    set(plan, kPlanConfig, config);
    finish(plan, "an execution plan");
    int64_t count = 0;
    check(api_, api_.BackendGetAttribute(plan, kPlanWorkspace, kTypeInt64, 1, &count, &workspace_), "a plan's workspace");
    plan_ = plan;
}

void Plan::run(Handle handle, const std::vector<int64_t>& tensors, const std::vector<void*>& addresses, void* workspace) {
    struct Pack : Described {
        using Described::create, Described::Described, Described::finish, Described::set;
    } pack(api_);
    const Descriptor d = pack.create(kVariantPack);
    pack.set(d, kPackIds, kTypeInt64, static_cast<int64_t>(tensors.size()), tensors.data());
    pack.set(d, kPackPointers, kTypeVoidPointer, static_cast<int64_t>(addresses.size()), addresses.data());
    pack.set(d, kPackWorkspace, kTypeVoidPointer, 1, &workspace);
    pack.finish(d, "a variant pack");
    check(api_, api_.BackendExecute(handle, plan_, d), "execute");
}

constexpr int kKnobs = 46;  // as many kinds as there are

std::vector<Engine> proposed(const Api& api, Descriptor graph, const Target& target) {
    struct Query : Described {
        using Described::create, Described::Described, Described::finish, Described::set;
    } q(api);
    const Descriptor h = q.create(kHeuristics);
    const int mode = kModeA;
    q.set(h, kHeuristicsGraph, graph);
    q.set(h, kHeuristicsMode, kTypeHeuristicsMode, 1, &mode);
    if (target.device) q.set(h, kHeuristicsDevice, target.device);
    q.finish(h, "heuristics");
    int64_t count = 0;
    check(api, api.BackendGetAttribute(h, kHeuristicsResults, kTypeDescriptor, 0, &count, nullptr), "heuristics");
    std::vector<Descriptor> configs;
    for (int64_t i = 0; i < count; i++) configs.push_back(q.create(kEngineConfig));
    check(api, api.BackendGetAttribute(h, kHeuristicsResults, kTypeDescriptor, count, &count, configs.data()), "heuristics");
    std::vector<Engine> engines;
    for (int64_t i = 0; i < count; i++) {
        Engine engine;
        int64_t n = 0;
        Descriptor e = q.create(kEngine);
        check(api, api.BackendGetAttribute(configs[static_cast<size_t>(i)], kConfigEngine, kTypeDescriptor, 1, &n, &e), "a proposed engine");
        check(api, api.BackendGetAttribute(e, kEngineIndex, kTypeInt64, 1, &n, &engine.index), "a proposed engine's index");
        std::vector<Descriptor> knobs;
        for (int k = 0; k < kKnobs; k++) knobs.push_back(q.create(kKnobChoice));
        check(api, api.BackendGetAttribute(configs[static_cast<size_t>(i)], kConfigKnobs, kTypeDescriptor, kKnobs, &n, knobs.data()), "its knobs");
        knobs.resize(static_cast<size_t>(n));
        for (const Descriptor k : knobs) {
            std::pair<int32_t, int64_t> knob;
            check(api, api.BackendGetAttribute(k, kKnobType, kTypeKnob, 1, &n, &knob.first), "a knob's type");
            check(api, api.BackendGetAttribute(k, kKnobValue, kTypeInt64, 1, &n, &knob.second), "a knob's value");
            engine.knobs.push_back(knob);
        }
        engines.push_back(engine);
    }
    return engines;
}

static_assert(sizeof(StoredEngine) == 64, "an algorithm has 64 bytes");
constexpr int kMostStored = 7;

StoredEngine stored(const Engine& e) {
    StoredEngine s{static_cast<int32_t>(e.index), static_cast<int32_t>(e.knobs.size()), {}};
    if (s.count > kMostStored) throw Unsupported{"cuDNN: an engine with " + std::to_string(s.count) + " knobs"};
    for (int i = 0; i < s.count; i++) {
        s.knobs[2 * i] = e.knobs[static_cast<size_t>(i)].first;
        s.knobs[2 * i + 1] = static_cast<int32_t>(e.knobs[static_cast<size_t>(i)].second);
    }
    return s;
}

Engine engine_of(const StoredEngine& s) {
    Engine e{s.index, {}};
    for (int i = 0; i < s.count && i < kMostStored; i++) e.knobs.emplace_back(s.knobs[2 * i], s.knobs[2 * i + 1]);
    return e;
}

}  // namespace so8t::cudnn
