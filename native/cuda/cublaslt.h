// The part of cuBLASLt that this library calls, declared here and loaded at run time: neither building nor loading this
// library needs cuBLAS. Values are those of cublasLt.h 12 and 13; cublaslt_check.cpp compares them with it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace so8t::cublaslt {

typedef struct HandleOpaque* Handle;
typedef struct DescOpaque* Desc;
typedef struct LayoutOpaque* Layout;
typedef struct PreferenceOpaque* Preference;

struct Algo {
    uint64_t data[8];
};
struct Heuristic {
    Algo algo;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

enum {
    kCompute32F = 68,
    kR32F = 0,
    kR16BF = 14,
    kOpN = 0,
    kOpT = 1,
    kDescTransA = 3,
    kDescTransB = 4,
    kLayoutBatchCount = 5,
    kLayoutStridedBatchOffset = 6,
    kPreferMaxWorkspace = 1,
    kPreferReductionMask = 3,
    kPreferAlignA = 5,
    kPreferAlignB = 6,
    kPreferAlignC = 7,
    kPreferAlignD = 8,
    kReductionComputeType = 2,
};

#define SO8T_CUBLASLT(X)                                                                                                                                     \
    X(Create, int, (Handle*))                                                                                                                                \
    X(Destroy, int, (Handle))                                                                                                                                \
    X(GetVersion, size_t, ())                                                                                                                                \
    X(MatmulDescCreate, int, (Desc*, int compute, int scale))                                                                                                \
    X(MatmulDescDestroy, int, (Desc))                                                                                                                        \
    X(MatmulDescSetAttribute, int, (Desc, int, const void*, size_t))                                                                                         \
    X(MatrixLayoutCreate, int, (Layout*, int type, uint64_t rows, uint64_t columns, int64_t ld))                                                             \
    X(MatrixLayoutSetAttribute, int, (Layout, int, const void*, size_t))                                                                                     \
    X(MatrixLayoutDestroy, int, (Layout))                                                                                                                    \
    X(MatmulPreferenceCreate, int, (Preference*))                                                                                                            \
    X(MatmulPreferenceDestroy, int, (Preference))                                                                                                            \
    X(MatmulPreferenceSetAttribute, int, (Preference, int, const void*, size_t))                                                                             \
    X(MatmulAlgoGetHeuristic, int, (Handle, Desc, Layout a, Layout b, Layout c, Layout d, Preference, int wanted, Heuristic*, int* got))                     \
    X(MatmulAlgoCheck, int, (Handle, Desc, Layout a, Layout b, Layout c, Layout d, const Algo*, Heuristic*))                                                 \
    X(Matmul, int,                                                                                                                                           \
      (Handle, Desc, const void* alpha, const void* a, Layout, const void* b, Layout, const void* beta, const void* c, Layout, void* d, Layout, const Algo*, \
       void* workspace, size_t workspace_bytes, void* stream))

struct Api {
#define X(name, result, parameters) result(*name) parameters = nullptr;
    SO8T_CUBLASLT(X)
#undef X
};

// The functions of libcublasLt.so.13 or .12, from the loader's path, CUDA_HOME or a Python environment's wheels; of an emulated library, emulated/cublaslt.cpp's.
const Api& api();
// Throws, naming where it looked and how to install it, if the library is missing.
void require();

}  // namespace so8t::cublaslt
