// dx = (dz A) * mask / (1 - p). In bfloat16 on tensor cores, with the mask drawn in registers after the product, so that
// dx is written once and nothing else of its size is moved; otherwise a product and a pass over it.
// Reference: TestOperations/linear_backward in native/linear_test.go.
#include "lora_dx.h"

#include "masked.h"
#include "products.h"
#include "ptx.h"

namespace so8t::cuda {

namespace {

// ---- tensor cores: a block computes 128 x 128 of dx, its eight warps 64 x 32 each, by chunks of the rank ----

constexpr int kRows = 128, kColumns = 128, kThreads = 256;
constexpr int kWarpRows = 64, kWarpColumns = 32;
constexpr int kChunk = 32;  // two buffers of it need less than 48 KiB, which every card gives two blocks at once

// Rows are padded by one 16-byte piece, so that the same piece of eight rows lies in eight different banks.
constexpr int kZRow = kChunk + 8, kARow = kColumns + 8;
constexpr int kBuffer = kRows * kZRow + kChunk * kARow;

struct Chunks {
    int64_t rows, in;
    int rank;
    const bf16 *dz, *a;
    int64_t dz_stride, a_stride;
};

// What this thread copies of each chunk: a piece of two rows of dz and of two rows of A.
struct Pieces {
    const bf16 *z, *a;
    bool z_inside[2], a_inside;
    __device__ Pieces(const Chunks& x, int64_t m0, int64_t n0) {
        const int64_t row = m0 + threadIdx.x / 4, column = n0 + threadIdx.x % 16 * 8;
        z = x.dz + row * x.dz_stride + threadIdx.x % 4 * 8;
        a = x.a + threadIdx.x / 16 * x.a_stride + column;
        z_inside[0] = row < x.rows;
        z_inside[1] = row + kRows / 2 < x.rows;
        a_inside = column < x.in;
    }
    // Columns [k, k + kChunk) of dz and rows of A; zeros outside, where nothing is read.
    __device__ void copy(const Chunks& x, int k, bf16* buffer) {
        bf16 *to_z = buffer + threadIdx.x / 4 * kZRow + threadIdx.x % 4 * 8, *to_a = buffer + kRows * kZRow + threadIdx.x / 16 * kARow + threadIdx.x % 16 * 8;
        const int column = k + threadIdx.x % 4 * 8, row = k + threadIdx.x / 16;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            cp_async16(to_z + i * kRows / 2 * kZRow, z + i * kRows / 2 * x.dz_stride, z_inside[i] && column < x.rank);
            cp_async16(to_a + i * kChunk / 2 * kARow, a + i * kChunk / 2 * x.a_stride, a_inside && row + i * kChunk / 2 < x.rank);
        }
        z += kChunk;
        a += kChunk * x.a_stride;
    }
};
static_assert(kThreads == kRows / 2 * kChunk / 8 && kThreads == kChunk / 2 * kColumns / 8, "two rows of each a thread");

// The quad's lane t gets word t of all four lanes, where it had one word of each of four groups.
__device__ inline void exchange(uint32_t (&w)[4]) {
#pragma unroll
    for (int by = 1; by <= 2; by *= 2) {
        const bool upper = threadIdx.x & by;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (i & by) continue;
            const uint32_t got = __shfl_xor_sync(kAllLanes, upper ? w[i] : w[i + by], by);
            if (upper) {
                w[i] = got;
            } else {
                w[i + by] = got;
            }
        }
    }
}

__global__ void __launch_bounds__(kThreads, 2) product_masked(Dropout d, Chunks x, bf16* dx, int64_t dx_stride) {
    DYNAMIC_SHARED(bf16, shared);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64_t m0 = static_cast<int64_t>(blockIdx.y) * kRows, n0 = static_cast<int64_t>(blockIdx.x) * kColumns;
    constexpr int MT = kWarpRows / 16, NT = kWarpColumns / 8;
    const int top = warp / 4 * kWarpRows, left = warp % 4 * kWarpColumns;
    float sums[MT][NT][4] = {};
    Pieces pieces(x, m0, n0);
    pieces.copy(x, 0, shared);
    cp_async_commit();
    for (int chunk = 0; chunk * kChunk < x.rank; chunk++) {
        cp_async_wait<0>();
        __syncthreads();  // the chunk is there, and nobody needs the one before
        if ((chunk + 1) * kChunk < x.rank) pieces.copy(x, (chunk + 1) * kChunk, shared + (chunk + 1) % 2 * kBuffer);
        cp_async_commit();
        const bf16 *z = shared + chunk % 2 * kBuffer, *a = z + kRows * kZRow;
#pragma unroll
        for (int k = 0; k < kChunk; k += 16) {
            uint32_t f[MT][4];
#pragma unroll
            for (int m = 0; m < MT; m++) ldmatrix4(f[m], z + (top + 16 * m + lane % 16) * kZRow + k + lane / 16 * 8);
#pragma unroll
            for (int n = 0; n < NT; n += 2) {
                uint32_t g[4];
                ldmatrix4_transposed(g, a + (k + lane % 16) * kARow + left + 8 * n + lane / 16 * 8);
#pragma unroll
                for (int m = 0; m < MT; m++) {
                    mma_bf16(sums[m][n], f[m], g[0], g[1]);
                    mma_bf16(sums[m][n + 1], f[m], g[2], g[3]);
                }
            }
        }
    }

    // The four lanes of a row exchange their columns, so that each draws for, and stores, one group of eight.
    static_assert(NT == 4, "a lane for each group of a row");
    const int64_t column = n0 + left + lane % 4 * 8;
#pragma unroll
    for (int m = 0; m < MT; m++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int64_t row = m0 + top + 16 * m + 8 * h + lane / 4;
            uint32_t w[4], draw[4];
#pragma unroll
            for (int n = 0; n < NT; n++) w[n] = pack_bf16(sums[m][n][2 * h] * d.inverse, sums[m][n][2 * h + 1] * d.inverse);
            exchange(w);
            if (row >= x.rows || column >= x.in) continue;
            draw8(d, d.sample[row], d.position[row], static_cast<uint32_t>(column / 8), draw);
            keep8(d, draw, w);
            store<uint32_t, 4>(reinterpret_cast<uint32_t*>(dx + row * dx_stride + column), {w[0], w[1], w[2], w[3]});
        }
    }
}

// ---- any type and shape ----

template <class T, bool Vectors>
__global__ void __launch_bounds__(kThreads) masked(Dropout d, int64_t rows, int64_t columns, T* x, int64_t stride) {
    const int64_t j = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * 8;
    if (j >= columns) return;
    for (int64_t i = blockIdx.y; i < rows; i += gridDim.y) {
        const uint32_t bits = kept8(d, i, j);
        T* at = x + i * stride + j;
        if (Vectors) {
            Vec<T, 8> v = load<T, 8>(at);
#pragma unroll
            for (int k = 0; k < 8; k++) from_float(bits >> k & 1 ? to_float(v.at[k]) * d.inverse : 0.0f, v.at[k]);
            store<T, 8>(at, v);
        } else {
            for (int k = 0; k < 8 && j + k < columns; k++) from_float(bits >> k & 1 ? to_float(at[k]) * d.inverse : 0.0f, at[k]);
        }
    }
}

template <class T>
void mask(Context& c, const Dropout& d, int64_t rows, int64_t columns, const View& x) {
    const dim3 grid(static_cast<unsigned>(ceil_div(columns, 8 * kThreads)), static_cast<unsigned>(rows < 65535 ? rows : 65535));
    if (columns % 8 == 0 && wide(x)) {
        LAUNCH((masked<T, true>), grid, dim3(kThreads), 0, c.stream, d, rows, columns, x.as<T>(), x.stride);
    } else {
        LAUNCH((masked<T, false>), grid, dim3(kThreads), 0, c.stream, d, rows, columns, x.as<T>(), x.stride);
    }
    launched("mask");
}

}  // namespace

void lora_dx(Context& c, const Dropout& d, int64_t rows, int64_t in, int64_t columns, const View& dz, const View& a, const View& dx) {
    if (dz.dtype == SO8T_BFLOAT16 && dx.dtype == SO8T_BFLOAT16 && columns % 8 == 0 && in % 8 == 0 && wide(dz, a, dx) && ceil_div(rows, kRows) <= 65535) {
        const Chunks x{rows, in, static_cast<int>(columns), dz.as<bf16>(), a.as<bf16>(), dz.stride, a.stride};
        const dim3 grid(static_cast<unsigned>(ceil_div(in, kColumns)), static_cast<unsigned>(ceil_div(rows, kRows)));
        LAUNCH(product_masked, grid, dim3(kThreads), 2 * kBuffer * sizeof(bf16), c.stream, d, x, dx.as<bf16>(), dx.stride);
        launched("lora_dx");
        return;
    }
    c.products->run({rows, in, columns, dz.dtype, dz.data, dz.stride, false, a.data, a.stride, false, dx.data, dx.stride, dx.dtype, 1, 0});
    by_compute(dx.dtype, [&](auto tag) { mask<decltype(tag)>(c, d, rows, in, dx); });
}

}  // namespace so8t::cuda
