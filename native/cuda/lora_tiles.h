// Tiles of x and of what it is multiplied with, as lora_masked.cu's kernels copy and mask them.
#pragma once

#include "masked.h"
#include "ptx.h"
#include "swizzle.h"

namespace so8t::cuda::lora {

constexpr int kThreads = 256;
constexpr int kTile = 64;  // rows and columns of a tile: eight pieces of 16 bytes a row
constexpr int kStages = 3;
constexpr int kDeep = 12;           // tiles whose products are summed before they are added to the others': fixes a row's bits
constexpr int kEnoughBlocks = 264;  // two for each processor of an H100

// What a block reads: a tile of x and N columns of A^T or dz, as tiles. Three of them and a few
// rows' numbers are 96.5 KiB at most, which every card has.
template <int N>
constexpr int kStage = (kTile + N) * kTile;

struct Operands {
    Dropout d;
    int64_t rows, in;
    int columns;        // of z and dz
    const bf16 *x, *w;  // w: A or dz
    int64_t x_stride, w_stride;
    int steps;     // tiles along the sum
    int of_block;  // of them
    float scale;
    float* parts;  // [parts, rows of y, columns of y]; nullptr where a block sums all
};

// What this thread copies of a matrix: the piece threadIdx.x % 8 of two rows of each tile. It moves on from step to step, as
// addresses of all steps would take too many registers.
struct Source {
    const bf16* from;
    int64_t stride;
    int rows, columns;  // of the matrix, from the tile's first on
    __device__ Source(const bf16* x, int64_t of_rows, int64_t row, int64_t rows_, int64_t column, int64_t columns_)
        : from(x + (row + threadIdx.x / 8) * of_rows + column + threadIdx.x % 8 * 8),
          stride(of_rows),
          rows(static_cast<int>(rows_ - row)),
          columns(static_cast<int>(columns_ - column)) {}
    __device__ void move(int down, int across) {
        from += down * stride + across;
        rows -= down;
        columns -= across;
    }
    // The tile so much further down and across; zeros outside, where nothing is read.
    __device__ void copy(bf16* tile, int down, int across) const {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int row = threadIdx.x / 8 + 32 * h, piece = threadIdx.x % 8;
            cp_async16(tile + at<kTile>(row, piece), from + (32 * h + down) * stride + across, row + down < rows && piece * 8 + across < columns);
        }
    }
};

// What the mask of a row depends on.
struct alignas(8) Row {
    int32_t sample, position;
};
__device__ inline Row row_of(const Operands& p, int64_t row) {
    const int64_t last = p.rows - 1, at = row < last ? row : last;
    return {p.d.sample[at], p.d.position[at]};
}

// Masks what this thread has copied. One draw comes before the wait, as it needs nothing of it; both would take too many registers.
__device__ inline void mask_tile(const Dropout& d, const Row& upper, const Row& lower, uint32_t group, bf16* tile) {
    uint32_t draw[4];
    draw8(d, upper.sample, upper.position, group + threadIdx.x % 8, draw);
    cp_async_wait<kStages - 2>();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        if (h > 0) draw8(d, lower.sample, lower.position, group + threadIdx.x % 8, draw);
        uint4& piece = *reinterpret_cast<uint4*>(tile + at<kTile>(threadIdx.x / 8 + 32 * h, threadIdx.x % 8));
        uint32_t v[4] = {piece.x, piece.y, piece.z, piece.w};
        keep8(d, draw, v);
        piece = {v[0], v[1], v[2], v[3]};
    }
}

// copy(tiles), two steps ahead, mask(step, tiles), which waits for the copy, and multiply(step, tiles).
template <class Copy, class Mask, class Multiply>
__device__ inline void pipeline(int first, int last, int stage, bf16* shared, Copy&& copy, Mask&& mask, Multiply&& multiply) {
    for (int i = 0; i < kStages - 1; i++) {
        if (first + i < last) copy(shared + i * stage);
        cp_async_commit();
    }
    int now = 0, next = kStages - 1;
#pragma unroll 1
    for (int step = first; step < last; step++) {
        mask(step, shared + now * stage);
        __syncthreads();  // the tiles are there, and nobody needs those of the step before
        if (step + kStages - 1 < last) copy(shared + next * stage);
        cp_async_commit();
        multiply(step, shared + now * stage);
        next = now;
        now = now + 1 < kStages ? now + 1 : 0;
    }
}

}  // namespace so8t::cuda::lora
