// One product by itself, for tests: the operations reach only some of what products.h offers.
#include "context.h"
#include "products.h"

extern "C" {

// A product's fields with buffers for pointers, 0 for none.
struct so8t_emulated_product_params {
    int64_t m, n, k, dtype, a, lda, transpose_a, b, ldb, transpose_b, c, ldc, c_dtype, residual, ld_residual, batch, stride_a, stride_b, stride_c;
    float alpha, beta;
};

SO8T_API int32_t so8t_emulated_product(so8t_ctx* c, const so8t_emulated_product_params* p) {
    const auto at = [&](int64_t buffer) { return buffer ? c->find(static_cast<uint64_t>(buffer)).data : nullptr; };
    try {
        c->products->run({p->m,
                          p->n,
                          p->k,
                          static_cast<int32_t>(p->dtype),
                          at(p->a),
                          p->lda,
                          p->transpose_a != 0,
                          at(p->b),
                          p->ldb,
                          p->transpose_b != 0,
                          at(p->c),
                          p->ldc,
                          static_cast<int32_t>(p->c_dtype),
                          p->alpha,
                          p->beta,
                          at(p->residual),
                          p->ld_residual,
                          p->batch,
                          p->stride_a,
                          p->stride_b,
                          p->stride_c});
    } catch (const so8t::Error& e) {
        c->error = e.text;
        return e.code;
    }
    return SO8T_OK;
}
}
