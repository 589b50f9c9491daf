// z = scale * dropout(x) A^T and a_grad += dz^T dropout(x). LoRA: Hu et al., arXiv 2106.09685.
// The mask only zeroes; 1 / (1 - p) multiplies the float32 sums, so that x is not rounded twice.
#include <algorithm>
#include <cstring>

#include "masks.h"
#include "weight.h"

namespace so8t::SO8T_ISA {

namespace {

constexpr int64_t kRows = 128;   // of z in one unit
constexpr int64_t kChunk = 512;  // columns whose mask is drawn at once; rows that a_grad sums over at once

// Copies columns [begin, begin + n) of row i of x, with zeros where the mask drops them.
template <class T>
void dropped(const Dropout& d, const View& x, int64_t i, int64_t begin, int64_t n, T* y) {
    const T* from = x.row<T>(i) + begin;
    if (!d.on) {
        std::memcpy(static_cast<void*>(y), from, static_cast<size_t>(n) * sizeof(T));
        return;
    }
    uint32_t bits[kChunk / 32];
    keep_bits(d, i, begin, n, bits);
    copy_kept(from, y, n, bits);
}

}  // namespace

void lora_down_forward(Context& c, const so8t_lora_down_forward_params& p) {
    LoRADownForwardViews v = check(c, p);
    if (to_round(v.a, v.x.dtype)) v.a = rounded(c, v.a, p.columns, p.in, c.shared<bf16>(p.columns * p.in));
    by_compute(v.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(ceil_div(p.rows, kRows), [&](int64_t unit, Worker& w) {
            const int64_t m0 = unit * kRows, m = std::min(kRows, p.rows - m0), padded = round_up(m, 16), ld = p.columns;
            float* tile = w.take<float>(padded * ld);
            T* part = w.take<T>(padded * p.in);
            for (int64_t i = 0; i < m; i++) {
                for (int64_t k0 = 0; k0 < p.in; k0 += kChunk) dropped(v.dropout, v.x, m0 + i, k0, std::min(kChunk, p.in - k0), part + i * p.in + k0);
            }
            std::memset(static_cast<void*>(part + m * p.in), 0, static_cast<size_t>((padded - m) * p.in) * sizeof(T));
            multiply<T>(w, {padded, p.columns, p.in, dtype_of<T>(), part, p.in, false, v.a.row<T>(0), v.a.stride, true, tile, ld, false});
            const vf scale = set(static_cast<float>(p.scale) * v.dropout.inverse);
            for (int64_t i = 0; i < m; i++) {
                for_vectors(p.columns, [&](int64_t j, auto n) { store(v.z.row<T>(m0 + i) + j, load(tile + i * ld + j, n) * scale, n); });
            }
        });
    });
}

void lora_down_backward(Context& c, const so8t_lora_down_backward_params& p) {
    const LoRADownBackwardViews v = check(c, p);
    if (p.rows == 0) return;
    const int64_t depth = round_up(p.rows, 64), R = p.columns;
    by_compute(v.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        T* turned = c.shared<T>(R * depth);  // dz^T, rows padded with zeros
        c.parallel(depth / 64, [&](int64_t unit, Worker&) {
            const int64_t i0 = unit * 64;
            transpose(v.dz.row<T>(i0), v.dz.stride, std::min<int64_t>(64, p.rows - i0), R, turned + i0, depth, 64);
        });
        c.parallel(ceil_div(p.in, kPanel), [&](int64_t unit, Worker& w) {
            const int64_t n0 = unit * kPanel, n = std::min(kPanel, p.in - n0);
            float* tile = w.take<float>(round_up(R, 16) * n);
            T* part = w.take<T>(kChunk * n);
            for (int64_t k0 = 0; k0 < depth; k0 += kChunk) {
                const int64_t k = std::min(kChunk, depth - k0), inside = std::min(k, p.rows - k0);
                for (int64_t i = 0; i < inside; i++) dropped(v.dropout, v.x, k0 + i, n0, n, part + i * n);
                std::memset(static_cast<void*>(part + inside * n), 0, static_cast<size_t>((k - inside) * n) * sizeof(T));
                multiply<T>(w, {R, n, k, dtype_of<T>(), turned + k0, depth, false, part, n, false, tile, n, k0 > 0});
            }
            const vf scale = set(v.dropout.inverse);
            for (int64_t i = 0; i < R; i++) {
                float* g = v.a_grad.row<float>(i) + n0;
                for_vectors(n, [&](int64_t j, auto k) { store(g + j, fma(load(tile + i * n + j, k), scale, load(g + j, k)), k); });
            }
        });
    });
}

}  // namespace so8t::SO8T_ISA
