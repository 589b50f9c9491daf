// C = alpha op(A) op(B) + beta C by cuBLASLt.
#pragma once

#include <cstdint>
#include <memory>

namespace so8t {

struct Context;

// Row-major matrices. float32 sums.
struct Product {
    int64_t m, n, k;
    int32_t dtype;  // of A and B: SO8T_FLOAT32 or SO8T_BFLOAT16
    const void* a;  // [m, k], or [k, m] where transpose_a
    int64_t lda;
    bool transpose_a;
    const void* b;  // [k, n], or [n, k] where transpose_b
    int64_t ldb;
    bool transpose_b;
    void* c;  // [m, n]
    int64_t ldc;
    int32_t c_dtype;
    float alpha, beta;
    const void* residual = nullptr;  // with beta: read instead of C, of C's dtype
    int64_t ld_residual = 0;
    int64_t batch = 1, stride_a = 0, stride_b = 0, stride_c = 0;  // so many products; elements from one's matrix to the next one's. No residual.
};

class Products {
public:
    Products(Context& c, const char* algorithms);  // path of the file of algorithms, or empty
    ~Products();
    void run(const Product& p);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace so8t
