// z = scale * mask(x) A^T and a_grad += dz^T mask(x) / (1 - p): each block draws the mask of a tile of x that has come to
// shared memory, so that no masked copy of x is written and read. LoRA: Hu et al., arXiv 2106.09685.
// Reference: TestOperations/lora in native/linear_test.go.
#include "lora_masked.h"

#include "layout.h"
#include "lora_tiles.h"

namespace so8t::cuda {

using namespace lora;

namespace {

// ---- z: 64 rows by N columns, the eight warps 32 x N / 4 each ----

// Two neighbouring tiles of a quad's sums, side by side: each lane gets two pairs that follow one another, so that the
// quad stores whole sectors.
__device__ inline void store_pair(bf16* row, uint32_t low, uint32_t high, bool inside) {
    const int t = threadIdx.x % 4, from = (threadIdx.x % 32 & ~3) + t % 2 * 2;
    const uint32_t a = __shfl_sync(kAllLanes, low, from), b = __shfl_sync(kAllLanes, low, from + 1);
    const uint32_t c = __shfl_sync(kAllLanes, high, from), d = __shfl_sync(kAllLanes, high, from + 1);
    struct alignas(8) Two {
        uint32_t x, y;
    };
    if (inside) *reinterpret_cast<Two*>(row + t * 4) = t < 2 ? Two{a, b} : Two{c, d};
}

template <int N>
__global__ void __launch_bounds__(kThreads, 2) down(Operands p, bf16* y, int64_t y_stride) {
    DYNAMIC_SHARED(bf16, shared);
    constexpr int MT = 2, NT = N / 32;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, top = warp / 4 * 32, left = warp % 4 * (N / 4);
    const int64_t m0 = static_cast<int64_t>(blockIdx.x) * kTile, n0 = static_cast<int64_t>(blockIdx.y) * N;
    const int first = blockIdx.z * p.of_block, last = first + p.of_block < p.steps ? first + p.of_block : p.steps;
    Source x(p.x, p.x_stride, m0, p.rows, first * kTile, p.in), w(p.w, p.w_stride, n0, p.columns, first * kTile, p.in);
    Row* rows = reinterpret_cast<Row*>(shared + kStages * kStage<N>);  // in registers they were too many
    if (threadIdx.x < kTile) rows[threadIdx.x] = row_of(p, m0 + threadIdx.x);
    __syncthreads();
    float sums[MT][NT][4] = {}, total[MT][NT][4] = {};
    pipeline(
        first, last, kStage<N>, shared,
        [&](bf16* tiles) {
            x.copy(tiles, 0, 0);
#pragma unroll
            for (int n = 0; n < N; n += kTile) w.copy(tiles + (kTile + n) * kTile, n, 0);
            x.move(0, kTile);
            w.move(0, kTile);
        },
        [&](int step, bf16* tiles) {
            const Row upper = rows[threadIdx.x / 8], lower = rows[threadIdx.x / 8 + 32];
            mask_tile(p.d, upper, lower, step * (kTile / 8), tiles);
        },
        [&](int step, const bf16* tiles) {
            // The piece k further lies at the address with k's bits flipped.
            const int x_at = static_cast<int>(tiles - shared) + at<kTile>(top + lane % 16, lane / 16);
            const int w_at = static_cast<int>(tiles - shared) + at<kTile>(kTile + left + lane / 16 * 8 + lane % 8, lane / 8 % 2);
#pragma unroll
            for (int k = 0; k < kTile / 8; k += 2) {
                uint32_t f[MT][4];
#pragma unroll
                for (int m = 0; m < MT; m++) ldmatrix4(f[m], shared + (x_at ^ k * 8) + m * 16 * kTile);
#pragma unroll
                for (int n = 0; n < NT; n += 2) {
                    uint32_t g[4];
                    ldmatrix4(g, shared + (w_at ^ k * 8) + n * 8 * kTile);
#pragma unroll
                    for (int m = 0; m < MT; m++) {
                        mma_bf16(sums[m][n], f[m], g[0], g[1]);
                        mma_bf16(sums[m][n + 1], f[m], g[2], g[3]);
                    }
                }
            }
            if ((step + 1) % kDeep != 0 && step + 1 != last) return;
#pragma unroll
            for (int i = 0; i < MT * NT * 4; i++) {
                total[i / (NT * 4)][i / 4 % NT][i % 4] += sums[i / (NT * 4)][i / 4 % NT][i % 4];
                sums[i / (NT * 4)][i / 4 % NT][i % 4] = 0;
            }
        });

#pragma unroll
    for (int m = 0; m < MT; m++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int64_t row = m0 + top + 16 * m + 8 * h + lane / 4;
#pragma unroll
            for (int n = 0; n < NT; n += 2) {
                const float(&a)[4] = total[m][n], (&b)[4] = total[m][n + 1];
                const int64_t column = n0 + left + 8 * n;
                if (p.parts) {
                    float* to = p.parts + (blockIdx.z * p.rows + row) * p.columns + column + lane % 4 * 2;
                    if (row < p.rows && column < p.columns) store<float, 2>(to, {a[2 * h], a[2 * h + 1]});
                    if (row < p.rows && column + 8 < p.columns) store<float, 2>(to + 8, {b[2 * h], b[2 * h + 1]});
                } else {
                    store_pair(y + row * y_stride + column, pack_bf16(p.scale * a[2 * h], p.scale * a[2 * h + 1]),
                               pack_bf16(p.scale * b[2 * h], p.scale * b[2 * h + 1]), row < p.rows && column + lane % 4 / 2 * 8 < p.columns);
                }
            }
        }
    }
}

// ---- a_grad: N rows by 64 columns, the eight warps N / 4 x 32 each ----

template <int N>
__global__ void __launch_bounds__(kThreads, 2) gradient(Operands p, float* y, int64_t y_stride) {
    DYNAMIC_SHARED(bf16, shared);
    constexpr int MT = N / 64, NT = 4;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, top = warp / 2 * (N / 4), left = warp % 2 * 32;
    const int64_t m0 = static_cast<int64_t>(blockIdx.y) * N, n0 = static_cast<int64_t>(blockIdx.x) * kTile;
    const int first = blockIdx.z * p.of_block, last = first + p.of_block < p.steps ? first + p.of_block : p.steps;
    const int64_t row = static_cast<int64_t>(first) * kTile;
    Source x(p.x, p.x_stride, row, p.rows, n0, p.in), w(p.w, p.w_stride, row, p.rows, m0, p.columns);
    const int upper = threadIdx.x / 8;
    Row rows[2] = {row_of(p, row + upper), row_of(p, row + upper + 32)};
    float sums[MT][NT][4] = {};
    pipeline(
        first, last, kStage<N>, shared,
        [&](bf16* tiles) {
            x.copy(tiles, 0, 0);
#pragma unroll
            for (int m = 0; m < N; m += kTile) w.copy(tiles + (kTile + m) * kTile, 0, m);
            x.move(kTile, 0);
            w.move(kTile, 0);
        },
        [&](int step, bf16* tiles) {
            const Row now[2] = {rows[0], rows[1]};
            const int64_t next = static_cast<int64_t>(step + 1) * kTile + upper;
            rows[0] = row_of(p, next);
            rows[1] = row_of(p, next + 32);
            mask_tile(p.d, now[0], now[1], static_cast<uint32_t>(n0 / 8), tiles);
        },
        [&](int, const bf16* tiles) {
            const bf16* other = tiles + kTile * kTile;
#pragma unroll
            for (int k = 0; k < kTile; k += 16) {
                uint32_t f[MT][4];
#pragma unroll
                for (int m = 0; m < MT; m++) {
                    const int column = top + 16 * m;
                    ldmatrix4_transposed(f[m],
                                         other + column / kTile * (kTile * kTile) + at<kTile>(k + lane / 16 * 8 + lane % 8, column % kTile / 8 + lane / 8 % 2));
                }
#pragma unroll
                for (int n = 0; n < NT; n += 2) {
                    uint32_t g[4];
                    ldmatrix4_transposed(g, tiles + at<kTile>(k + lane % 16, left / 8 + n + lane / 16));
#pragma unroll
                    for (int m = 0; m < MT; m++) {
                        mma_bf16(sums[m][n], f[m], g[0], g[1]);
                        mma_bf16(sums[m][n + 1], f[m], g[2], g[3]);
                    }
                }
            }
        });

#pragma unroll
    for (int m = 0; m < MT; m++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int64_t row = m0 + top + 16 * m + 8 * h + lane / 4;
#pragma unroll
            for (int n = 0; n < NT; n++) {
                const int64_t column = n0 + left + 8 * n + lane % 4 * 2;
                if (row >= p.columns || column >= p.in) continue;
                Vec<float, 2> v{sums[m][n][2 * h], sums[m][n][2 * h + 1]};
                if (p.parts) {
                    store<float, 2>(p.parts + (blockIdx.z * p.columns + row) * p.in + column, v);
                } else {
                    const Vec<float, 2> before = load<float, 2>(y + row * y_stride + column);
                    store<float, 2>(y + row * y_stride + column, {before.at[0] + p.scale * v.at[0], before.at[1] + p.scale * v.at[1]});
                }
            }
        }
    }
}

// ---- y = scale * (the sum of parts), or added to y, in the parts' order ----

template <class Y, bool Add>
__global__ void __launch_bounds__(kSweepThreads) add_parts(const float* parts, int count, int64_t rows, int64_t columns, float scale, Y* y, int64_t y_stride) {
    constexpr int V = 4;
    sweep(rows, columns / V, [&](int64_t row, int64_t group) {
        float sum[V] = {};
#pragma unroll 1
        for (int i = 0; i < count; i++) {
            float part[V];
            load_floats(parts + (i * rows + row) * columns + group * V, part);
#pragma unroll
            for (int k = 0; k < V; k++) sum[k] += part[k];
        }
        Y* to = y + row * y_stride + group * V;
        float before[V] = {};
        if (Add) load_floats(to, before);
#pragma unroll
        for (int k = 0; k < V; k++) sum[k] = Add ? before[k] + scale * sum[k] : scale * sum[k];
        store_floats(to, sum);
    });
}

template <bool Add, class Y>
void add(Context& c, const Operands& p, int parts, int64_t rows, int64_t columns, Y* y, int64_t y_stride) {
    const Layout l = sweep_of(c, rows, columns / 4);
    LAUNCH((add_parts<Y, Add>), l.grid, l.block, 0, c.stream, p.parts, parts, rows, columns, p.scale, y, y_stride);
    launched("add_parts");
}

// ---- launches ----

// f(integral_constant<int, N>, blocks of N columns): few blocks, each of which draws the mask again, and little waste.
template <class F>
void by_columns(int64_t columns, F&& f) {
    const int64_t blocks = ceil_div(columns, 192), each = ceil_div(columns, blocks);
    if (each <= 64) {
        f(std::integral_constant<int, 64>{}, static_cast<int>(blocks));
    } else if (each <= 128) {
        f(std::integral_constant<int, 128>{}, static_cast<int>(blocks));
    } else {
        f(std::integral_constant<int, 192>{}, static_cast<int>(blocks));
    }
}

template <int N, class Kernel>
size_t shared_for(Kernel* kernel) {
    constexpr int bytes = kStages * kStage<N> * static_cast<int>(sizeof(bf16)) + kTile * static_cast<int>(sizeof(Row));
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "shared memory for LoRA");
    return bytes;
}

dim3 grid_of(int64_t across, int down, int parts) { return dim3(static_cast<unsigned>(across), static_cast<unsigned>(down), static_cast<unsigned>(parts)); }

}  // namespace

bool fits_masked(int64_t in, int64_t columns, const View& x, const View& w, const View& y) {
    return x.dtype == SO8T_BFLOAT16 && in % 8 == 0 && columns % 8 == 0 && wide(x, w, y);
}

void masked_down(Context& c, const Dropout& d, int64_t rows, int64_t in, int64_t columns, const View& x, const View& a, float scale, const View& z) {
    by_columns(columns, [&](auto n, int blocks) {
        constexpr int N = decltype(n)::value;
        const int64_t across = ceil_div(rows, kTile);
        const int steps = static_cast<int>(ceil_div(in, kTile));
        // A block sums all, or kDeep tiles: with the same bits, as all add the same sums in the same order.
        const bool whole = 2 * across * blocks >= 3 * c.processors || steps <= kDeep;
        const int parts = whole ? 1 : static_cast<int>(ceil_div(steps, kDeep));
        Scratch s(c);
        float* sums = whole ? nullptr : s.take<float>(parts * rows * columns);
        const Operands p{d, rows, in, static_cast<int>(columns), x.as<bf16>(), a.as<bf16>(), x.stride, a.stride, steps, whole ? steps : kDeep, scale, sums};
        LAUNCH((down<N>), grid_of(across, blocks, parts), dim3(kThreads), shared_for<N>(down<N>), c.stream, p, z.as<bf16>(), z.stride);
        launched("lora_down");
        if (!whole) add<false>(c, p, parts, rows, columns, z.as<bf16>(), z.stride);
    });
}

void masked_gradient(Context& c, const Dropout& d, int64_t rows, int64_t in, int64_t columns, const View& x, const View& dz, const View& a_grad) {
    by_columns(columns, [&](auto n, int blocks) {
        constexpr int N = decltype(n)::value;
        const int64_t across = ceil_div(in, kTile), steps = ceil_div(rows, kTile);
        // Split by the shape alone, the same on every card.
        const int64_t wanted = std::clamp<int64_t>(kEnoughBlocks / (across * blocks), 1, ceil_div(steps, 4)), of_block = ceil_div(steps, wanted);
        const int parts = static_cast<int>(ceil_div(steps, of_block));
        Scratch s(c);
        float* sums = parts == 1 ? nullptr : s.take<float>(parts * columns * in);
        const Operands p{d,
                         rows,
                         in,
                         static_cast<int>(columns),
                         x.as<bf16>(),
                         dz.as<bf16>(),
                         x.stride,
                         dz.stride,
                         static_cast<int>(steps),
                         static_cast<int>(of_block),
                         d.inverse,
                         sums};
        LAUNCH((gradient<N>), grid_of(across, blocks, parts), dim3(kThreads), shared_for<N>(gradient<N>), c.stream, p, a_grad.as<float>(), a_grad.stride);
        launched("lora_gradient");
        if (parts > 1) add<true>(c, p, parts, columns, in, a_grad.as<float>(), a_grad.stride);
    });
}

}  // namespace so8t::cuda
