// dz_i = scale * dy_i B_i and b_grad_i += dy_i^T z_i, by slices of a fused output. LoRA: Hu et al., arXiv 2106.09685.
#include <algorithm>
#include <cstring>

#include "weight.h"

namespace so8t::SO8T_ISA {

namespace {

constexpr int64_t kRows = 128;   // of dz in one unit
constexpr int64_t kChunk = 512;  // of the rows that b_grad sums over

}  // namespace

void lora_up_backward(Context& c, const so8t_lora_up_backward_params& p) {
    LoRAUpBackwardViews v = check(c, p);
    const int64_t R = p.slices * p.rank, rank = p.rank, blocks = ceil_div(p.rows, kRows), depth = round_up(p.rows, 64);
    int64_t size = 0, units = blocks * p.slices, first_unit[SO8T_MAX_SLICES];  // of a slice's panels of b_grad
    for (int64_t i = 0; i < p.slices; i++) {
        const Slice& s = v.slice[i];
        first_unit[i] = units;
        units += ceil_div(s.rows, kPanel);
        if (to_round(s.b, v.dy.dtype)) size += s.rows * rank;
    }
    if (p.rows == 0) return;
    by_compute(v.dy.dtype, [&](auto tag) {
        using T = decltype(tag);
        T* turned = c.shared<T>(R * depth + size);  // z^T, rows padded with zeros; after it the rounded copies of B
        if (size > 0) {
            bf16* copy = reinterpret_cast<bf16*>(turned + R * depth);
            for (int64_t i = 0; i < p.slices; i++) {
                if (!to_round(v.slice[i].b, v.dy.dtype)) continue;
                v.slice[i].b = rounded(c, v.slice[i].b, v.slice[i].rows, rank, copy);
                copy += v.slice[i].rows * rank;
            }
        }
        c.parallel(depth / 64, [&](int64_t unit, Worker&) {
            const int64_t i0 = unit * 64;
            transpose(v.z.row<T>(i0), v.z.stride, std::min<int64_t>(64, p.rows - i0), R, turned + i0, depth, 64);
        });
        c.parallel(units, [&](int64_t unit, Worker& w) {
            if (unit < blocks * p.slices) {
                const int64_t i = unit / blocks, m0 = unit % blocks * kRows, m = std::min(kRows, p.rows - m0), ld = rank;
                const Slice& s = v.slice[i];
                float* tile = w.take<float>(round_up(m, 16) * ld);
                multiply<T>(w,
                            {m, rank, s.rows, dtype_of<T>(), v.dy.row<T>(m0) + s.begin, v.dy.stride, false, s.b.row<T>(0), s.b.stride, false, tile, ld, false});
                const vf scale = set(static_cast<float>(p.scale));
                for (int64_t r = 0; r < m; r++) {
                    for_vectors(rank, [&](int64_t j, auto n) { store(v.dz.row<T>(m0 + r) + i * rank + j, load(tile + r * ld + j, n) * scale, n); });
                }
                return;
            }
            int64_t i = p.slices - 1;
            while (unit < first_unit[i]) i--;
            const Slice& s = v.slice[i];
            // b_grad^T, so that dy is read in place; the small tile is transposed at the end.
            const int64_t o0 = (unit - first_unit[i]) * kPanel, n = std::min(kPanel, s.rows - o0);
            float* tile = w.take<float>(round_up(rank, 16) * n);
            const bool direct = packs<T>(w);  // oneDNN needs few shapes and rows without gaps
            T* part = w.take<T>(kChunk * n);
            for (int64_t k0 = 0; k0 < depth; k0 += kChunk) {
                const int64_t k = std::min(kChunk, depth - k0), inside = std::min(k, p.rows - k0);
                if (direct) {
                    multiply<T>(w, {rank, n, inside, dtype_of<T>(), turned + i * rank * depth + k0, depth, false, v.dy.row<T>(k0) + s.begin + o0, v.dy.stride,
                                    false, tile, n, k0 > 0});
                    continue;
                }
                for (int64_t r = 0; r < inside; r++) {
                    std::memcpy(static_cast<void*>(part + r * n), v.dy.row<T>(k0 + r) + s.begin + o0, static_cast<size_t>(n) * sizeof(T));
                }
                std::memset(static_cast<void*>(part + inside * n), 0, static_cast<size_t>((k - inside) * n) * sizeof(T));
                multiply<T>(w, {rank, n, k, dtype_of<T>(), turned + i * rank * depth + k0, depth, false, part, n, false, tile, n, k0 > 0});
            }
            for (int64_t o = 0; o < n; o++) {
                float* g = s.grad.row<float>(o0 + o);
                for (int64_t j = 0; j < rank; j++) g[j] += tile[j * n + o];
            }
        });
    });
}

}  // namespace so8t::SO8T_ISA
