// Products by a plain loop: cuBLASLt's own arithmetic is not this project's to test.
#include "products.h"

#include <algorithm>
#include <vector>

#include "context.h"
#include "device.h"

namespace so8t {

struct Products::State {};

Products::Products(Context&, const char*) {}
Products::~Products() = default;

namespace {

float element(const void* p, int64_t i, int32_t dtype) {
    return dtype == SO8T_FLOAT32 ? static_cast<const float*>(p)[i] : cuda::to_float(static_cast<const bf16*>(p)[i]);
}

std::vector<float> widened(const void* p, int64_t rows, int64_t columns, int64_t ld, bool transpose, int32_t dtype) {
    std::vector<float> x(static_cast<size_t>(rows * columns));
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) x[static_cast<size_t>(i * columns + j)] = element(p, transpose ? j * ld + i : i * ld + j, dtype);
    }
    return x;
}

}  // namespace

void Products::run(const Product& p) {
    const std::vector<float> a = widened(p.a, p.m, p.k, p.lda, p.transpose_a, p.dtype), b = widened(p.b, p.k, p.n, p.ldb, p.transpose_b, p.dtype);
    std::vector<float> sums(static_cast<size_t>(p.n));
    for (int64_t i = 0; i < p.m; i++) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (int64_t l = 0; l < p.k; l++) {
            const float x = a[static_cast<size_t>(i * p.k + l)];
            const float* row = &b[static_cast<size_t>(l * p.n)];
            for (int64_t j = 0; j < p.n; j++) sums[static_cast<size_t>(j)] += x * row[j];
        }
        const void* from = p.residual ? p.residual : p.c;
        const int64_t ld = p.residual ? p.ld_residual : p.ldc;
        for (int64_t j = 0; j < p.n; j++) {
            float y = p.alpha * sums[static_cast<size_t>(j)];
            if (p.beta != 0) y += p.beta * element(from, i * ld + j, p.c_dtype);
            if (p.c_dtype == SO8T_FLOAT32) {
                static_cast<float*>(p.c)[i * p.ldc + j] = y;
            } else {
                cuda::from_float(y, static_cast<bf16*>(p.c)[i * p.ldc + j]);
            }
        }
    }
}

}  // namespace so8t
