// C = A B (+ C), row major, one thread: a oneDNN matmul primitive, created once for each shape and cached by the thread.
#pragma once

#include <cstdint>
#include <memory>

#include "pool.h"

namespace so8t {

struct Gemm {
    int64_t m, n, k;
    int32_t dtype;  // of A and B: SO8T_FLOAT32 or SO8T_BFLOAT16
    const void* a;  // [m, k], or [k, m] where transpose_a
    int64_t lda;
    bool transpose_a;
    const void* b;  // [k, n], or [n, k] where transpose_b
    int64_t ldb;
    bool transpose_b;
    float* c;  // [m, n]
    int64_t ldc;
    bool accumulate;
};

// The caller should pad m where it varies: each new shape costs a primitive (about a millisecond).
void gemm(Worker& w, const Gemm& g);

class GemmCache {
public:
    GemmCache();
    ~GemmCache();
    void run(Worker& w, const Gemm& g);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace so8t
