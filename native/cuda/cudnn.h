// The part of cuDNN's backend API that this library calls, declared here and loaded at run time: neither building nor
// loading this library needs cuDNN. Values are those of cudnn_graph.h 9; cudnn_check.cpp compares them with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace so8t::cudnn {

typedef struct HandleOpaque* Handle;
typedef void* Descriptor;

enum DescriptorType {
    kPointwise = 0,
    kEngine = 2,
    kEngineConfig = 3,
    kHeuristics = 4,
    kExecutionPlan = 5,
    kKnobChoice = 7,
    kPointwiseOperation = 13,
    kOperationGraph = 15,
    kVariantPack = 16,
    kTensor = 17,
    kMatmul = 18,
    kMatmulOperation = 19,
    kReduction = 21,
    kReductionOperation = 22,
    kReshapeOperation = 31,
    kDeviceProperties = 38,
};

enum Attribute {
    kPointwiseMode = 0,
    kPointwisePrecision = 1,
    kPointwiseAxis = 9,
    kHeuristicsMode = 200,
    kHeuristicsGraph = 201,
    kHeuristicsResults = 202,
    kHeuristicsDevice = 204,
    kConfigEngine = 300,
    kConfigKnobs = 302,
    kPlanHandle = 400,
    kPlanConfig = 401,
    kPlanWorkspace = 402,
    kPlanDevice = 407,
    kKnobType = 600,
    kKnobValue = 601,
    kPointwiseDesc = 750,
    kPointwiseX = 751,
    kPointwiseB = 752,
    kPointwiseY = 753,
    kPointwiseT = 758,
    kGraphHandle = 800,
    kGraphOperations = 801,
    kTensorAlignment = 900,
    kTensorType = 901,
    kTensorDims = 902,
    kTensorStrides = 903,
    kTensorId = 906,
    kTensorIsVirtual = 907,
    kTensorIsByValue = 908,
    kTensorRaggedOffsets = 913,
    kPackIds = 1000,
    kPackPointers = 1001,
    kPackWorkspace = 1003,
    kEngineGraph = 1300,
    kEngineIndex = 1301,
    kEngineNotes = 1303,
    kEngineDevice = 1307,
    kMatmulPrecision = 1500,
    kMatmulA = 1520,
    kMatmulB = 1521,
    kMatmulC = 1522,
    kMatmulDesc = 1523,
    kMatmulM = 1525,
    kMatmulN = 1526,
    kMatmulK = 1527,
    kReductionOperator = 1600,
    kReductionPrecision = 1601,
    kReductionX = 1610,
    kReductionY = 1611,
    kReductionDesc = 1612,
    kReshapeX = 2200,
    kReshapeY = 2201,
    kDeviceJson = 2702,
};

enum AttributeType {
    kTypeHandle = 0,
    kTypeDataType = 1,
    kTypeBoolean = 2,
    kTypeInt64 = 3,
    kTypeVoidPointer = 6,
    kTypeHeuristicsMode = 8,
    kTypeKnob = 9,
    kTypeNote = 11,
    kTypePointwiseMode = 14,
    kTypeDescriptor = 15,
    kTypeReductionOperator = 18,
    kTypeChar = 24,
};

enum DataType { kFloat = 0, kInt32 = 4, kBfloat16 = 9, kBoolean = 11 };

enum PointwiseMode {
    kAdd = 0,
    kMul = 1,
    kDiv = 6,
    kSub = 9,
    kExp = 13,
    kLog = 15,
    kIdentity = 21,
    kGreater = 302,
    kGreaterEqual = 303,
    kLess = 304,
    kAnd = 400,
    kIndex = 501,
    kSelect = 601,
};

enum ReductionOperator { kSum = 0, kMax = 3 };

enum {
    kModeA = 3,             // heuristics by measured kernels
    kNondeterministic = 4,  // a numerical note
    kStages = 14,           // knobs
    kKernel = 24,
    kClusterM = 27,
    kStreamK = 38,
    kTileM = 40,
    kTileN = 41,
};

#define SO8T_CUDNN(X)                                                                                         \
    X(GetVersion, size_t, ())                                                                                 \
    X(GetErrorString, const char*, (int status))                                                              \
    X(GetLastErrorString, void, (char* text, size_t size))                                                    \
    X(Create, int, (Handle*))                                                                                 \
    X(Destroy, int, (Handle))                                                                                 \
    X(SetStream, int, (Handle, void* stream))                                                                 \
    X(BackendCreateDescriptor, int, (int type, Descriptor*))                                                  \
    X(BackendDestroyDescriptor, int, (Descriptor))                                                            \
    X(BackendSetAttribute, int, (Descriptor, int name, int type, int64_t count, const void* values))          \
    X(BackendGetAttribute, int, (Descriptor, int name, int type, int64_t most, int64_t* count, void* values)) \
    X(BackendFinalize, int, (Descriptor))                                                                     \
    X(BackendExecute, int, (Handle, Descriptor plan, Descriptor pack))

struct Api {
#define X(name, result, parameters) result(*name) parameters = nullptr;
    SO8T_CUDNN(X)
#undef X
};

// The functions of libcudnn.so.9; null, and why, where it is missing.
const Api* find(std::string& why);

}  // namespace so8t::cudnn
