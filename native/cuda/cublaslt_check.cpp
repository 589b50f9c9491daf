// Compiles only where cublaslt.h agrees with NVIDIA's own header:
//   g++ -std=c++17 -fsyntax-only -I. -I$CUDA_HOME/include -I<where cublasLt.h is> cublaslt_check.cpp
#include "cublaslt.h"

#include <cublasLt.h>

using namespace so8t::cublaslt;

static_assert(sizeof(Algo) == sizeof(cublasLtMatmulAlgo_t), "");
static_assert(sizeof(Heuristic) == sizeof(cublasLtMatmulHeuristicResult_t) &&
                  offsetof(Heuristic, workspace) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize) &&
                  offsetof(Heuristic, state) == offsetof(cublasLtMatmulHeuristicResult_t, state) &&
                  offsetof(Heuristic, waves) == offsetof(cublasLtMatmulHeuristicResult_t, wavesCount),
              "");
static_assert(kCompute32F == int(CUBLAS_COMPUTE_32F) && kR32F == int(CUDA_R_32F) && kR16BF == int(CUDA_R_16BF) && kOpN == int(CUBLAS_OP_N) &&
                  kOpT == int(CUBLAS_OP_T),
              "");
static_assert(kDescTransA == int(CUBLASLT_MATMUL_DESC_TRANSA) && kDescTransB == int(CUBLASLT_MATMUL_DESC_TRANSB), "");
static_assert(kLayoutBatchCount == int(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) && kLayoutStridedBatchOffset == int(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET),
              "");
static_assert(kPreferMaxWorkspace == int(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) && kPreferReductionMask == int(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) &&
                  kPreferAlignA == int(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES) && kPreferAlignB == int(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES) &&
                  kPreferAlignC == int(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES) && kPreferAlignD == int(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES) &&
                  kReductionComputeType == int(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE),
              "");

// Each declared function takes what the real one takes, but for the opaque types' names.
template <class... A, class... B>
constexpr bool alike(int (*)(A...), cublasStatus_t (*)(B...)) {
    return sizeof...(A) == sizeof...(B) && ((sizeof(A) == sizeof(B)) && ...);
}
static_assert(alike(decltype(Api::Matmul)(nullptr), decltype (&cublasLtMatmul)(nullptr)), "");
static_assert(alike(decltype(Api::MatmulAlgoGetHeuristic)(nullptr), decltype (&cublasLtMatmulAlgoGetHeuristic)(nullptr)), "");
static_assert(alike(decltype(Api::MatmulAlgoCheck)(nullptr), decltype (&cublasLtMatmulAlgoCheck)(nullptr)), "");
static_assert(alike(decltype(Api::MatrixLayoutCreate)(nullptr), decltype (&cublasLtMatrixLayoutCreate)(nullptr)), "");
static_assert(alike(decltype(Api::MatrixLayoutSetAttribute)(nullptr), decltype (&cublasLtMatrixLayoutSetAttribute)(nullptr)), "");
static_assert(alike(decltype(Api::MatmulDescCreate)(nullptr), decltype (&cublasLtMatmulDescCreate)(nullptr)), "");
static_assert(alike(decltype(Api::MatmulDescSetAttribute)(nullptr), decltype (&cublasLtMatmulDescSetAttribute)(nullptr)), "");
static_assert(alike(decltype(Api::MatmulPreferenceSetAttribute)(nullptr), decltype (&cublasLtMatmulPreferenceSetAttribute)(nullptr)), "");
