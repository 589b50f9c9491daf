// cuDNN's backend API on the CPU: keeps what descriptors are given and runs an operation graph operation by operation, without
// knowing what it computes as a whole. It is there if SO8T_EMULATED_CUDNN names its version, 92801 or so. What cuDNN leaves open is
// NaN: rows of a ragged tensor beyond its sequence, elements of a product beyond the sizes that it is overridden with.
#include "cudnn.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "device.h"
#include "emulated/cudnn_values.h"

namespace so8t::cudnn {

namespace {

constexpr int kBadParameter = 2000, kNotSupported = 3000;
std::string last_error;

int refuse(int status, const std::string& why) {
    last_error = why;
    return status;
}

size_t size_of(int type) {
    switch (type) {
        case kTypeBoolean:
        case kTypeChar: return 1;
        case kTypeInt64:
        case kTypeVoidPointer:
        case kTypeHandle:
        case kTypeDescriptor: return 8;
        default: return 4;
    }
}

// Which attributes a descriptor must have before it is finalized.
const std::map<int, std::vector<int>>& required() {
    static const std::map<int, std::vector<int>> all = {
        {kTensor, {kTensorType, kTensorDims, kTensorStrides, kTensorId, kTensorAlignment}},
        {kPointwise, {kPointwiseMode, kPointwisePrecision}},
        {kPointwiseOperation, {kPointwiseDesc, kPointwiseX, kPointwiseY}},
        {kMatmul, {kMatmulPrecision}},
        {kMatmulOperation, {kMatmulA, kMatmulB, kMatmulC, kMatmulDesc}},
        {kReduction, {kReductionOperator, kReductionPrecision}},
        {kReductionOperation, {kReductionX, kReductionY, kReductionDesc}},
        {kReshapeOperation, {kReshapeX, kReshapeY}},
        {kOperationGraph, {kGraphOperations}},
        {kEngine, {kEngineGraph, kEngineIndex}},
        {kEngineConfig, {kConfigEngine}},
        {kKnobChoice, {kKnobType, kKnobValue}},
        {kHeuristics, {kHeuristicsGraph, kHeuristicsMode}},
        {kExecutionPlan, {kPlanHandle, kPlanConfig}},
        {kVariantPack, {kPackIds, kPackPointers, kPackWorkspace}},
    };
    return all;
}

constexpr int64_t kWorkspaceBytes = 4096;

size_t version() { return static_cast<size_t>(std::atoll(std::getenv("SO8T_EMULATED_CUDNN"))); }
const char* text_of(int status) { return status == kNotSupported ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_BAD_PARAM"; }
void last(char* text, size_t size) { std::snprintf(text, size, "%s", last_error.c_str()); }
int create_handle(Handle* h) {
    *h = reinterpret_cast<Handle>(new char);
    return 0;
}
int destroy_handle(Handle h) {
    delete reinterpret_cast<char*>(h);
    return 0;
}
int set_stream(Handle, void*) { return 0; }

int create(int type, Descriptor* d) {
    *d = new Object{type, false, {}};
    return 0;
}
int destroy(Descriptor d) {
    delete static_cast<Object*>(d);
    return 0;
}

int set(Descriptor d, int name, int type, int64_t count, const void* values) {
    Object& o = *static_cast<Object*>(d);
    if (o.finished) return refuse(kBadParameter, "an attribute of a finalized descriptor");
    if (type == kTypeDescriptor) {
        for (int64_t i = 0; i < count; i++) {
            if (!static_cast<Object* const*>(values)[i]->finished) return refuse(kBadParameter, "a descriptor that is not finalized");
        }
    }
    const char* bytes = static_cast<const char*>(values);
    o.attributes[name].assign(bytes, bytes + static_cast<size_t>(count) * size_of(type));
    return 0;
}

// Every virtual tensor is written by one operation.
int check_graph(const Object& graph) {
    std::map<int64_t, int> writers;
    for (const Object* operation : graph.objects(kGraphOperations)) writers[operation->output()->number<int64_t>(kTensorId)]++;
    for (const Object* operation : graph.objects(kGraphOperations)) {
        for (const Object* x : operation->inputs()) {
            const int64_t id = x->number<int64_t>(kTensorId);
            if (x->truth(kTensorIsVirtual) && writers[id] != 1) return refuse(kBadParameter, "virtual tensor " + std::to_string(id) + " is not written once");
        }
    }
    return 0;
}

int finish(Descriptor d) {
    Object& o = *static_cast<Object*>(d);
    const auto needs = required().find(o.type);
    if (needs == required().end()) return refuse(kNotSupported, "a descriptor of type " + std::to_string(o.type));
    for (int name : needs->second) {
        if (!o.has(name)) return refuse(kBadParameter, "type " + std::to_string(o.type) + " lacks attribute " + std::to_string(name));
    }
    if (o.type == kTensor) {
        const Shape s = shape_of(o);
        for (int i = 0; i < 4; i++) {
            if (s.dims[i] <= 0 || s.strides[i] <= 0) return refuse(kBadParameter, "a size or stride is not positive");
        }
    }
    if (o.type == kOperationGraph) {
        if (const int status = check_graph(o)) return status;
    }
    if (o.type == kEngine && o.number<int64_t>(kEngineIndex) > 6) return refuse(kNotSupported, "there is no such engine");
    o.finished = true;
    return 0;
}

template <class T>
int give(int64_t* count, void* values, T value) {
    *count = 1;
    std::memcpy(values, &value, sizeof value);
    return 0;
}

// Engine 1 comes first and adds in any order, engine 2 does not.
int give_proposed(const Object& heuristics, int64_t most, int64_t* count, void* values) {
    *count = 2;
    for (int64_t i = 0; i < 2 && i < most; i++) {
        Object& config = *static_cast<Object* const*>(values)[i];
        const int64_t index = i + 1;
        config.attributes[kEngineIndex].assign(reinterpret_cast<const char*>(&index), reinterpret_cast<const char*>(&index) + 8);
        config.attributes[kEngineGraph] = heuristics.attributes.at(kHeuristicsGraph);
        config.finished = true;
    }
    return 0;
}

int get(Descriptor d, int name, int, int64_t most, int64_t* count, void* values) {
    const Object& o = *static_cast<Object*>(d);
    if (!o.finished) return refuse(kBadParameter, "a descriptor that is not finalized");
    switch (name) {
        case kEngineNotes: {
            *count = 0;
            return o.number<int64_t>(kEngineIndex) == 1 ? give<int>(count, values, kNondeterministic) : 0;
        }
        case kHeuristicsResults: return give_proposed(o, most, count, values);
        case kConfigEngine: {
            Object& engine = **static_cast<Object**>(values);
            engine.attributes[kEngineIndex] = o.attributes.at(kEngineIndex);
            engine.finished = true;
            *count = 1;
            return 0;
        }
        case kConfigKnobs: {
            Object& knob = **static_cast<Object**>(values);
            const int type = kTileM;
            const int64_t value = 3;
            set(&knob, kKnobType, kTypeKnob, 1, &type);
            set(&knob, kKnobValue, kTypeInt64, 1, &value);
            knob.finished = true;
            *count = 1;
            return 0;
        }
        case kKnobType: return give(count, values, o.number<int32_t>(name));
        case kKnobValue:
        case kEngineIndex: return give(count, values, o.number<int64_t>(name));
        case kPlanWorkspace: return give(count, values, kWorkspaceBytes);
        default: return refuse(kNotSupported, "attribute " + std::to_string(name));
    }
}

// A fault changes the first element of the first matrix: to another value, or from one execution to the next by its last bit.
void spoil(const Object& graph, const std::map<int64_t, void*>& addresses) {
    static int executions = 0;
    const bool wrong = emulated::fault("cudnn_wrong"), unordered = emulated::fault("cudnn_unordered") && executions++ % 2 == 1;
    for (const Object* operation : graph.objects(kGraphOperations)) {
        const Object& y = *operation->output();
        if (y.truth(kTensorIsVirtual) || y.number<int>(kTensorType) != kBfloat16) continue;
        uint16_t& first = *static_cast<uint16_t*>(addresses.at(y.number<int64_t>(kTensorId)));
        if (wrong) first = 0x4100;  // 8
        if (unordered) first ^= 1;
        return;
    }
}

int execute(Handle, Descriptor plan, Descriptor pack) {
    const Object &p = *static_cast<Object*>(plan), &v = *static_cast<Object*>(pack);
    std::map<int64_t, void*> addresses;
    const std::vector<int64_t> ids = v.numbers<int64_t>(kPackIds);
    const std::vector<void*> pointers = v.numbers<void*>(kPackPointers);
    if (ids.size() != pointers.size()) return refuse(kBadParameter, "tensors and addresses differ in number");
    for (size_t i = 0; i < ids.size(); i++) addresses[ids[i]] = pointers[i];
    std::memset(v.number<void*>(kPackWorkspace), 0xCD, static_cast<size_t>(kWorkspaceBytes));
    const Object& graph = *p.object(kPlanConfig)->object(kConfigEngine)->object(kEngineGraph);
    if (const char* path = std::getenv("SO8T_EMULATED_EXECUTIONS"); path && *path) {
        std::FILE* f = std::fopen(path, "a");
        if (!f || std::fputs("execution\n", f) < 0 || std::fclose(f) != 0) return refuse(kBadParameter, "SO8T_EMULATED_EXECUTIONS cannot be written");
    }
    if (emulated::fault("cudnn_fails")) return refuse(kNotSupported, "cudnn_fails");
    const std::string problem = run_graph(graph, addresses);
    spoil(graph, addresses);
    return problem.empty() ? 0 : refuse(kBadParameter, problem);
}

}  // namespace

const Api* emulated_api(std::string& why) {
    static const Api api{version, text_of, last, create_handle, destroy_handle, set_stream, create, destroy, set, get, finish, execute};
    if (std::getenv("SO8T_EMULATED_CUDNN")) return &api;
    why = "cuDNN was not found: SO8T_EMULATED_CUDNN is not set";
    return nullptr;
}

}  // namespace so8t::cudnn
