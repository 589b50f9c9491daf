// dx = (dz A) * mask / (1 - p). In bfloat16 on tensor cores, with the mask drawn in registers after the product, so that
// dx is written once and nothing else of its size is moved; otherwise a product and a pass over it.
// Reference: TestOperations/linear_backward in native/linear_test.go.
#include "lora_dx.h"

#include "products.h"
#include "ptx.h"

namespace so8t::cuda {

namespace {

// ---- tensor cores: a block computes 128 x 128 of dx, its eight warps 64 x 32 each, from whole rows in shared memory ----

constexpr int kRows = 128, kColumns = 128, kThreads = 256, kMostRank = 192;
constexpr int kWarpRows = 64, kWarpColumns = 32;

// Rows are padded by one 16-byte chunk, so that the same chunk of eight rows lies in eight different banks.
constexpr int kPad = 8;

template <class Y>
__global__ void __launch_bounds__(kThreads) product_masked(Dropout d, int64_t rows, int64_t in, int rank, const bf16* dz, int64_t dz_stride, const bf16* a,
                                                           int64_t a_stride, Y* dx, int64_t dx_stride) {
    DYNAMIC_SHARED(bf16, shared);
    const int z_row = rank + kPad, a_row = kColumns + kPad;
    bf16 *z = shared, *w = z + kRows * z_row;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64_t m0 = static_cast<int64_t>(blockIdx.y) * kRows, n0 = static_cast<int64_t>(blockIdx.x) * kColumns;
    for (int i = threadIdx.x; i < kRows * rank / 8; i += kThreads) {
        const int row = i / (rank / 8), column = i % (rank / 8) * 8;
        const bool inside = m0 + row < rows;
        cp_async16(z + row * z_row + column, dz + (inside ? m0 + row : 0) * dz_stride + column, inside);
    }
    for (int i = threadIdx.x; i < rank * kColumns / 8; i += kThreads) {
        const int row = i / (kColumns / 8), column = i % (kColumns / 8) * 8;
        const bool inside = n0 + column < in;
        cp_async16(w + row * a_row + column, a + row * a_stride + (inside ? n0 + column : 0), inside);
    }
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();

    constexpr int MT = kWarpRows / 16, NT = kWarpColumns / 8;
    const int top = warp / 4 * kWarpRows, left = warp % 4 * kWarpColumns;
    float sums[MT][NT][4] = {};
    for (int k = 0; k < rank; k += 16) {
        uint32_t x[MT][4];
#pragma unroll
        for (int m = 0; m < MT; m++) ldmatrix4(x[m], z + (top + 16 * m + lane % 16) * z_row + k + lane / 16 * 8);
#pragma unroll
        for (int n = 0; n < NT; n += 2) {
            uint32_t y[4];
            ldmatrix4_transposed(y, w + (k + lane % 16) * a_row + left + 8 * n + lane / 16 * 8);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                mma_bf16(sums[m][n], x[m], y[0], y[1]);
                mma_bf16(sums[m][n + 1], x[m], y[2], y[3]);
            }
        }
    }

    // Each lane draws one group of eight columns for two rows; the four lanes of a row exchange their groups.
    static_assert(NT == 4, "a lane for each group of a row");
#pragma unroll
    for (int m = 0; m < MT; m++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int64_t row = m0 + top + 16 * m + 8 * h + lane / 4, column = n0 + left;
            const bool inside = row < rows;
            const uint32_t bits = inside ? kept8(d, row, column + lane % 4 * 8) : 0;
#pragma unroll
            for (int n = 0; n < NT; n++) {
                const uint32_t kept = __shfl_sync(kAllLanes, bits, (lane & ~3) | n) >> lane % 4 * 2;
                const float low = kept & 1 ? sums[m][n][2 * h] * d.inverse : 0.0f, high = kept & 2 ? sums[m][n][2 * h + 1] * d.inverse : 0.0f;
                const int64_t at = column + 8 * n + lane % 4 * 2;
                if (!inside || at >= in) continue;
                Vec<Y, 2> pair;
                from_float(low, pair.at[0]);
                from_float(high, pair.at[1]);
                store<Y, 2>(dx + row * dx_stride + at, pair);
            }
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
    if (dz.dtype == SO8T_BFLOAT16 && columns % 16 == 0 && columns <= kMostRank && in % 8 == 0 && wide(dz, a, dx) && ceil_div(rows, kRows) <= 65535) {
        const int rank = static_cast<int>(columns);
        const size_t bytes = (kRows * (rank + kPad) + rank * (kColumns + kPad)) * sizeof(bf16);
        const dim3 grid(static_cast<unsigned>(ceil_div(in, kColumns)), static_cast<unsigned>(ceil_div(rows, kRows)));
        by_compute(dx.dtype, [&](auto tag) {
            using Y = decltype(tag);
            check_cuda(cudaFuncSetAttribute(product_masked<Y>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
                       "shared memory for lora_dx");
            LAUNCH((product_masked<Y>), grid, dim3(kThreads), bytes, c.stream, d, rows, in, rank, dz.as<bf16>(), dz.stride, a.as<bf16>(), a.stride, dx.as<Y>(),
                   dx.stride);
        });
        launched("lora_dx");
        return;
    }
    c.products->run({rows, in, columns, dz.dtype, dz.data, dz.stride, false, a.data, a.stride, false, dx.data, dx.stride, dx.dtype, 1, 0});
    by_compute(dx.dtype, [&](auto tag) { mask<decltype(tag)>(c, d, rows, in, dx); });
}

}  // namespace so8t::cuda
