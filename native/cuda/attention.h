// What the attention operations share: which rows see which, and tiles. A tile is a fixed range of the packed matrix's rows,
// whatever sequences they hold; a mask by row separates the sequences, so that results do not depend on how they are packed.
#pragma once

#include "checks/attention.h"
#include "operations.h"
#include "ptx.h"
#include "swizzle.h"

namespace so8t::cuda {

constexpr int kTile = 128;         // rows of the largest tile
constexpr int kHeadsTogether = 8;  // whose keys and values stay in the L2 cache while their tiles run
constexpr float kLog2E = 1.44269504088896341f;

// Query i sees the keys [low[i], i], key j is seen by the queries [j, high[j]): sequence and window in one. Both ascend and
// are padded to a multiple of kTile, so that a tile's first and last row bound what it reads.
struct Seen {
    const int32_t *low, *high;
};
Seen seen(Context& c, Scratch& scratch, const View& cu_seqlens, int64_t rows, int64_t sequences, int64_t window);

// This library's own kernels, whether cuDNN is there or not.
void own_forward(Context& c, const so8t_attention_forward_params& p, const AttentionForwardViews& v);
void own_backward(Context& c, const so8t_attention_backward_params& p, const AttentionBackwardViews& v);

template <class T>
struct Matrix {
    T* data;
    int64_t stride;
};
template <class T>
Matrix<T> matrix_of(const View& v) {
    return {v.as<T>(), v.stride};
}

template <class T>
struct Attention {
    Matrix<const T> q, k, v;
    Seen seen;
    int rows, heads, group;  // group: query heads of a key head
    int head_dim;
    float scale;
    bool wide;  // every row of a head begins on a 16-byte boundary and holds whole multiples of it
};

// What is alike in a warp's lanes, in a form that the compiler knows to be alike: branches on it need no convergence.
__device__ inline bool warp_agrees(bool x) { return __ballot_sync(kAllLanes, x) != 0; }

__host__ __device__ inline int least(int a, int b) { return a < b ? a : b; }

// ---- tensor cores: tiles of bfloat16 [rows, D] ----

constexpr int kThreads = 128;

// Loads rows [first, first + Rows) of a head that begins at `column`, zeros outside. Complete after cp_async_wait and a barrier.
template <int D, int Rows>
__device__ inline void load_tile(bf16* tile, const Matrix<const bf16>& x, int column, int first, int rows, int head_dim, bool wide) {
    constexpr int G = kGroup<D>, kPass = kThreads / G;
    static_assert((Rows % kPass == 0 || Rows < kPass) && kPass % 8 == 0, "a thread's rows and chunks are all swizzled alike");
    const int thread = reread_thread(), row = thread / G, chunk = thread % G;
    if (wide) {
        const int64_t stride = x.stride;
        const bf16* const from = x.data + (first + row) * stride + column + chunk * 8;
        bf16* const to = tile + at<D>(row, chunk);
#pragma unroll
        for (int r = 0; r < Rows; r += kPass) {
            if (Rows < kPass && row >= Rows) break;
            const bool inside = first + row + r < rows;
#pragma unroll
            for (int c = 0; c < D / 8; c += G) {
                cp_async16(to + r * D + c * 8, from + r * stride + c * 8, inside && (c + chunk) * 8 < head_dim);
            }
        }
    } else {
#pragma unroll 1
        for (int begin = 0; begin < Rows * D; begin += kThreads) {
            const int r = (begin + threadIdx.x) / D, d = (begin + threadIdx.x) % D;
            const bool inside = first + r < rows && d < head_dim;
            tile[at<D>(r, d / 8) + d % 8] = inside ? x.data[(first + r) * x.stride + column + d] : bf16{0};
        }
    }
}

// Where chunks d + half of a row lie in a tile, d even: of their swizzle only the part that is a lane's own is computed.
template <int D>
struct Places {
    int first;
    __device__ Places(int row, int half) : first(at<D>(row, half)) {}
    __device__ int operator()(int d) const { return (first ^ d % kGroup<D> * 8) + d / kGroup<D> * kGroup<D> * 8; }
};

template <int D>
constexpr bool kHeld = D <= 96;  // wider ones find no registers

// A warp's MT x 16 rows of a tile as the left side of products. Held: they are kept in registers, so that they are read once.
template <int D, int MT, bool Held>
struct Left {
    const bf16* tile;
    Places<D> places;
    uint32_t held[Held ? D / 16 : 1][MT][4];
    __device__ explicit Left(const bf16* rows) : tile(rows), places(threadIdx.x % 16, threadIdx.x % 32 / 16) {}
    __device__ void hold() {
        if constexpr (Held) {
#pragma unroll
            for (int d = 0; d < D / 16; d++) read(d, held[d]);
        }
    }
    __device__ void read(int d, uint32_t (&x)[MT][4]) const {
#pragma unroll
        for (int m = 0; m < MT; m++) ldmatrix4(x[m], tile + places(2 * d) + m * 16 * D);
    }
};

// Waits for tiles and reads those that are held.
template <class... Lefts>
__device__ inline void hold(Lefts&... tiles) {
    cp_async_wait<0>();
    __syncthreads();
    (tiles.hold(), ...);
}

// c = A B^T for MT x 16 rows of A and NT x 8 rows of B.
template <int D, int MT, int NT, bool Held>
__device__ inline void multiply_turned(float (&c)[MT][NT][4], const Left<D, MT, Held>& a, const bf16* b) {
    const int lane = threadIdx.x % 32;
    const Places<D> of_b(lane / 16 * 8 + lane % 8, lane / 8 % 2);
#pragma unroll
    for (int i = 0; i < MT * NT * 4; i++) c[i / (NT * 4)][i / 4 % NT][i % 4] = 0;
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
        uint32_t read[MT][4];
        if constexpr (!Held) a.read(d, read);
        const auto& x = Held ? a.held[d] : read;
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
            uint32_t y[4];
            ldmatrix4(y, b + of_b(2 * d) + n * 8 * D);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                mma_bf16(c[m][n], x[m], y[0], y[1]);
                mma_bf16(c[m][n + 1], x[m], y[2], y[3]);
            }
        }
    }
}

// c += A B, where A is another product's result, rounded, and B has NT x 8 rows.
template <int D, int MT, int NT>
__device__ inline void multiply_add(float (&c)[MT][D / 8][4], const float (&a)[MT][NT][4], const bf16* b) {
    const int lane = threadIdx.x % 32;
    const Places<D> of_b(lane % 16, lane / 16);
#pragma unroll
    for (int k = 0; k < NT; k += 2) {
        uint32_t x[MT][4];
#pragma unroll
        for (int m = 0; m < MT; m++) {
#pragma unroll
            for (int i = 0; i < 4; i++) x[m][i] = pack_bf16(a[m][k + i / 2][i % 2 * 2], a[m][k + i / 2][i % 2 * 2 + 1]);
        }
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            uint32_t y[4];
            ldmatrix4_transposed(y, b + of_b(n) + k * 8 * D);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                mma_bf16(c[m][n], x[m], y[0], y[1]);
                mma_bf16(c[m][n + 1], x[m], y[2], y[3]);
            }
        }
    }
}

// Stores the warp's rows of y, from `first` on: its sums, each row times a factor. They are rearranged in rows of a tile
// that no other warp reads or writes.
template <int D, int MT>
__device__ inline void store_rows(bf16* tile, const float (&c)[MT][D / 8][4], const float (&by)[MT][2], const Matrix<bf16>& y, int column, int first, int rows,
                                  int head_dim, bool wide) {
    const int lane = reread_thread() % 32;
    __syncwarp();
#pragma unroll
    for (int m = 0; m < MT; m++) {
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
#pragma unroll
            for (int h = 0; h < 2; h++) {
                *reinterpret_cast<uint32_t*>(tile + at<D>(m * 16 + h * 8 + lane / 4, n) + lane % 4 * 2) =
                    pack_bf16(c[m][n][2 * h] * by[m][h], c[m][n][2 * h + 1] * by[m][h]);
            }
        }
    }
    __syncwarp();
#pragma unroll 1
    for (int i = lane; i < MT * 16 * D / 8; i += 32) {
        const int row = i / (D / 8), d = i % (D / 8) * 8;
        if (first + row >= rows || d >= head_dim) continue;
        const bf16* from = tile + at<D>(row, d / 8);
        bf16* to = y.data + (first + row) * y.stride + column + d;
        if (wide) {
            store(to, load<bf16, 8>(from));
        } else {
            for (int j = 0; j < least(8, head_dim - d); j++) to[j] = from[j];
        }
    }
}

// f(integral_constant<int, D>): the tile width of a head of at most 128.
template <class F>
void by_tile_width(int64_t head_dim, F&& f) {
    switch (ceil_div(head_dim, 16)) {
        case 1: return f(std::integral_constant<int, 16>{});
        case 2: return f(std::integral_constant<int, 32>{});
        case 3: return f(std::integral_constant<int, 48>{});
        case 4: return f(std::integral_constant<int, 64>{});
        case 5: return f(std::integral_constant<int, 80>{});
        case 6: return f(std::integral_constant<int, 96>{});
        case 7: return f(std::integral_constant<int, 112>{});
        default: return f(std::integral_constant<int, 128>{});
    }
}

// ---- CUDA cores: tiles of float32 [R, D], rows padded against bank conflicts; eight threads work on a row ----

template <int D>
constexpr int kRow = D + 4;
template <int D>
constexpr int kRows = D > 128 ? 16 : 32;

template <int D, class T>
__device__ inline void load_floats_tile(float* tile, const Matrix<const T>& x, int column, int first, int rows, int head_dim) {
    for (int i = threadIdx.x; i < kRows<D> * D; i += 8 * kRows<D>) {
        const int row = i / D, d = i % D;
        tile[row * kRow<D> + d] = first + row < rows && d < head_dim ? to_float(x.data[(first + row) * x.stride + column + d]) : 0.0f;
    }
}
// s[i]: the product of a row with row g + 8 i of a tile; g is this thread's place in the row.
template <int D>
__device__ inline void dot_rows(float (&s)[kRows<D> / 8], const float* row, const float* tile, int g) {
#pragma unroll
    for (int i = 0; i < kRows<D> / 8; i++) s[i] = 0;
#pragma unroll 4
    for (int d = 0; d < D; d += 4) {
        float x[4];
        load_floats<4>(row + d, x);
#pragma unroll
        for (int i = 0; i < kRows<D> / 8; i++) {
            float y[4];
            load_floats<4>(tile + (g + 8 * i) * kRow<D> + d, y);
#pragma unroll
            for (int j = 0; j < 4; j++) s[i] += x[j] * y[j];
        }
    }
}
// sums += weights times tile, columns 4 g + 32 i + j of it in sums[4 i + j]
template <int D>
__device__ inline void add_rows(float (&sums)[D / 8], const float* weights, const float* tile, int g) {
#pragma unroll 4
    for (int r = 0; r < kRows<D>; r++) {
        const float w = weights[r];
#pragma unroll
        for (int i = 0; i < D / 32; i++) {
            float y[4];
            load_floats<4>(tile + r * kRow<D> + 4 * g + 32 * i, y);
#pragma unroll
            for (int j = 0; j < 4; j++) sums[4 * i + j] += w * y[j];
        }
    }
}
template <int D, class T>
__device__ inline void store_sums(const float (&sums)[D / 8], float by, const Matrix<T>& y, int column, int row, int head_dim, int g) {
    for (int i = 0; i < D / 8; i++) {
        const int d = 4 * g + i / 4 * 32 + i % 4;
        if (d < head_dim) from_float(sums[i] * by, y.data[row * y.stride + column + d]);
    }
}

// f(integral_constant<int, D>); bfloat16 only where tensor cores cannot do it.
template <class T, class F>
void by_row_width(int64_t head_dim, F&& f) {
    if constexpr (sizeof(T) == 2) {
        f(std::integral_constant<int, 256>{});
    } else if (head_dim <= 32) {
        f(std::integral_constant<int, 32>{});
    } else if (head_dim <= 64) {
        f(std::integral_constant<int, 64>{});
    } else if (head_dim <= 96) {
        f(std::integral_constant<int, 96>{});
    } else if (head_dim <= 128) {
        f(std::integral_constant<int, 128>{});
    } else {
        f(std::integral_constant<int, 256>{});
    }
}

// kHeadsTogether heads run side by side, over tiles of `rows_per_tile`.
inline dim3 grid_of(int64_t heads, int64_t rows, int rows_per_tile) {
    return dim3(kHeadsTogether, static_cast<unsigned>(ceil_div(rows, rows_per_tile)), static_cast<unsigned>(ceil_div(heads, kHeadsTogether)));
}
__device__ inline int head_of_block() { return blockIdx.z * kHeadsTogether + blockIdx.x; }

// A kernel must request more than 48 KiB of shared memory.
template <class K>
void allow_shared(K* kernel, size_t bytes) {
    if (bytes <= 48 << 10) return;
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)), "shared memory for attention");
}

}  // namespace so8t::cuda
