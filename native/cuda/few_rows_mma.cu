// y = residual + scale * x W^T + [z_i B_i^T] for 9 to 128 rows of x in bfloat16, on tensor cores. The time goes into reading W:
// a block takes 128 outputs of all rows, so that W is read once and as it is stored; int8 becomes bfloat16, which holds it
// exactly, in registers, and the sums are multiplied by absmax / 127. W8A16: Lin et al., arXiv 2306.00978, without their groups.
// A row's bits depend on its own values, on W's shape and type, and on nothing else: not on how many rows there are.
// Reference: TestOperations/linear_forward in native/linear_test.go.
#include <algorithm>

#include "few_rows.h"
#include "ptx.h"

namespace so8t::cuda {

namespace {

constexpr int kThreads = 256, kOutputs = 128;  // of a block
constexpr int kWarpOutputs = 32;               // four warps take one half of a step's columns, four the other half
constexpr int kPitch = kOutputs + 4;           // of a row of sums in shared memory, against bank conflicts

// Half the columns of a step: 64 bytes of each weight row, and as many elements of each row of x. At most 96 KiB, which every card has.
template <int M>
constexpr int kStages = M > 64   ? 2
                        : M > 32 ? 3
                                 : 4;
template <int M>
struct Stage {
    unsigned char w[2][kOutputs * 64];
    bf16 x[2][M * 64];
};
// 16-byte chunks are placed so that those which eight lanes write or read together lie in different banks.
template <int M>
__device__ inline unsigned char* w_at(Stage<M>& s, int half, int row, int chunk) {
    return s.w[half] + (row ^ half) * 64 + chunk * 16;
}
template <int M>
__device__ inline bf16* x_at(Stage<M>& s, int half, int row, int chunk) {
    return s.x[half] + row * 64 + (chunk ^ row % 2 * 5 ^ half * 4) * 8;
}

struct Tiled {
    const bf16 *x, *residual, *z;
    const void* w;
    const float* absmax;
    void* y;
    float* parts;  // [splits, rows, pitch], with more than one split
    int64_t x_stride, w_stride, y_stride, residual_stride, z_stride;
    float scale;
    int in, out, pitch, rows, splits, rank;
    int steps;                                // of a split, beyond the last column too
    bool y_float, wide, wide_slices, wide_y;  // wide: whole 16-byte chunks, each on its boundary; of y and residual: four elements
    int begin[SO8T_MAX_SLICES], slice_rows[SO8T_MAX_SLICES];
    int64_t b_stride[SO8T_MAX_SLICES];
    const bf16* b[SO8T_MAX_SLICES];
};

// [rows, columns]; wide: whole 16-byte chunks, each on its boundary.
template <class T>
struct Matrix {
    const T* data;
    int64_t stride;
    int columns, rows;
    bool wide;
};

// Copies columns [k, k + 8 * Chunks) of rows from `first` on into Rows rows of both halves of a stage, zeros outside. `place`
// says where a chunk goes. Complete after cp_async_wait and a barrier.
template <int Rows, int Chunks, class T, class F>
__device__ inline void load_rows(const Matrix<T>& x, int first, int k, F&& place) {
    constexpr int V = 16 / sizeof(T), kPass = kThreads / (2 * Chunks);
    const int thread = opaque(threadIdx.x), chunk = thread % (2 * Chunks), row = thread / (2 * Chunks);
    if (x.wide) {
        const T* from = x.data + static_cast<int64_t>(first + row) * x.stride + k + chunk * V;
        auto* to = place(chunk / Chunks, row, chunk % Chunks);
        static_assert(kPass % 2 == 0);
        const auto pitch = place(0, 2, 0) - place(0, 0, 0);  // of two rows
        const bool there = k + chunk * V < x.columns;
#pragma unroll
        for (int i = 0; i < Rows; i += kPass, from += kPass * x.stride) {
            if (kPass > Rows && row >= Rows) break;
            const bool inside = there && static_cast<unsigned>(first + row + i) < static_cast<unsigned>(x.rows);
            cp_async16(to + i / 2 * pitch, inside ? from : x.data, inside);
        }
    } else {
#pragma unroll 1
        for (int i = threadIdx.x; i < Rows * 2 * Chunks * V; i += kThreads) {
            const int r = i / (2 * Chunks * V), j = i % (2 * Chunks * V);
            const bool inside = static_cast<unsigned>(first + r) < static_cast<unsigned>(x.rows) && k + j < x.columns;
            reinterpret_cast<T*>(place(j / (Chunks * V), r, j / V % Chunks))[j % V] = inside ? x.data[(first + r) * x.stride + k + j] : T{};
        }
    }
}

// Columns [k, k + 128 / sizeof(W)) of the weight's rows from n on and of all rows of x.
template <class W, int M>
__device__ inline void load_step(Stage<M>& s, const Matrix<W>& w, int n, const Matrix<bf16>& x, int k) {
    load_rows<kOutputs, 4>(w, n, k, [&](int half, int row, int chunk) { return w_at(s, half, row, chunk); });
    load_rows<M, 8 / sizeof(W)>(x, 0, k, [&](int half, int row, int chunk) { return x_at(s, half, row, chunk); });
}

// Four int8 as bfloat16: of byte b, 128 + b % 128 less 128, or less 256 where q = b - 256 is negative.
__device__ inline void expand(uint32_t packed, uint32_t& first, uint32_t& second) {
    const auto difference = [](uint32_t pair) { return fma_bf16x2(pair & 0xFF80FF80u, 0xBF80BF80u, pair & 0xFF7FFF7Fu); };
    first = difference(__byte_perm(packed, 0x43434343u, 0x4140));
    second = difference(__byte_perm(packed, 0x43434343u, 0x4342));
}

// sums += this warp's outputs times all rows, over its half of a step. Lane l holds 16 bytes of the rows l / 4, from chunk l % 4
// on; which columns form an mma's 16 is of no account as long as weights and x agree: word s of a chunk of int8 is its s-th.
template <class W, int M>
__device__ inline void multiply(float (&sums)[2][M / 8][4], Stage<M>& s, int half, int first) {
    constexpr int kChunks = 2 / sizeof(W);
    const int row = threadIdx.x % 32 / 4, chunk = threadIdx.x % 4;
    Vec<uint32_t, 4> w[2][2];
#pragma unroll
    for (int i = 0; i < 4; i++) w[i / 2][i % 2] = load<uint32_t, 4>(reinterpret_cast<const uint32_t*>(w_at(s, half, first + 8 * i + row, chunk)));
#pragma unroll
    for (int c = 0; c < kChunks; c++) {
        uint32_t a[2][2][4];  // of 16 outputs, for 16 columns
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const int m = i / 4, h = i / 2 % 2, k = i % 2;
            if constexpr (sizeof(W) == 1) {
                expand(w[m][h].at[2 * c + k], a[m][k][h], a[m][k][h + 2]);
            } else {
                a[m][k][h] = w[m][h].at[2 * k];
                a[m][k][h + 2] = w[m][h].at[2 * k + 1];
            }
        }
#pragma unroll
        for (int n = 0; n < M / 8; n += 2) {  // two, so that the tensor cores have four sums to add to
            Vec<uint32_t, 4> x[2];
#pragma unroll
            for (int i = 0; i < 2; i++) x[i] = load<uint32_t, 4>(reinterpret_cast<const uint32_t*>(x_at(s, half, 8 * (n + i) + row, kChunks * chunk + c)));
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const int m = i % 2, j = i / 2 % 2, k = i / 4;
                mma_bf16(sums[m][n + j], a[m][k], x[j].at[2 * k], x[j].at[2 * k + 1]);
            }
        }
    }
}

// y = residual + sums for four outputs of a row.
__device__ inline void store_four(const Tiled& l, int row, int output, Vec<float, 4> sums) {
    const int64_t at = row * l.y_stride + output;
    if (l.wide_y) {
        if (l.residual) {
            const auto more = load<bf16, 4>(l.residual + row * l.residual_stride + output);
#pragma unroll
            for (int i = 0; i < 4; i++) sums.at[i] += to_float(more.at[i]);
        }
        if (l.y_float) {
            store<float, 4>(static_cast<float*>(l.y) + at, sums);
        } else {
            store_floats<4>(static_cast<bf16*>(l.y) + at, sums.at);
        }
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (output + i >= l.out) break;
            const float y = sums.at[i] + (l.residual ? to_float(l.residual[row * l.residual_stride + output + i]) : 0.0f);
            if (l.y_float) {
                static_cast<float*>(l.y)[at + i] = y;
            } else {
                from_float(y, static_cast<bf16*>(l.y)[at + i]);
            }
        }
    }
}

// Adds both halves' sums and stores them: as y, or as one of several parts of it.
template <int M>
__device__ inline void store_tile(const Tiled& l, const float (&sums)[2][M / 8][4], float* tile, int half, int first, int n0) {
    const int lane = threadIdx.x % 32;
    for (int turn = 1; turn >= 0; turn--) {
        __syncthreads();  // at first: nobody reads the stages any more
        if (half == turn) {
#pragma unroll
            for (int i = 0; i < M; i++) {
                const int m = i / (M / 2), n = i / 4 % (M / 8), c = i % 4;
                float& at = tile[(8 * n + lane % 4 * 2 + c % 2) * kPitch + first + 16 * m + lane / 4 + c / 2 * 8];
                at = turn ? sums[m][n][c] : sums[m][n][c] + at;
            }
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < l.rows * kOutputs / 4; i += kThreads) {
        const int row = i / (kOutputs / 4), column = i % (kOutputs / 4) * 4;
        const int output = n0 + column;
        if (output >= l.out) continue;
        const auto four = load<float, 4>(tile + row * kPitch + column);
        if (l.splits > 1) {
            store<float, 4>(l.parts + (static_cast<int64_t>(blockIdx.y) * l.rows + row) * l.pitch + output, four);
        } else {
            store_four(l, row, output, four);
        }
    }
}

template <class W, int M>
__global__ void __launch_bounds__(kThreads, M > 32 ? 1 : 2) tiled(Tiled l) {
    wait_for_previous();
    DYNAMIC_SHARED(Stage<M>, stages);
    __shared__ float scales[kOutputs];
    constexpr int kDeep = 128 / sizeof(W), kSliceDeep = 64, S = kStages<M>;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, half = warp / 4, first = warp % 4 * kWarpOutputs;
    const int n0 = blockIdx.x * kOutputs, split = blockIdx.y;
    // The last split goes on with the slices that have rows among these outputs.
    const int per_slice = (l.rank + kSliceDeep - 1) / kSliceDeep;
    const auto meets = [&](int i) { return split == l.splits - 1 && l.begin[i] < n0 + kOutputs && l.begin[i] + l.slice_rows[i] > n0; };
    int total = l.steps;
#pragma unroll
    for (int i = 0; i < SO8T_MAX_SLICES; i++) total += meets(i) ? per_slice : 0;  // one that is not there has no rows
    const auto load_into = [&](Stage<M>& s, int step) {
        if (step < l.steps) {
            load_step(s, Matrix<W>{static_cast<const W*>(l.w), l.w_stride, l.in, l.out, l.wide}, n0, Matrix<bf16>{l.x, l.x_stride, l.in, l.rows, l.wide},
                      (split * l.steps + step) * kDeep);
            return;
        }
        step -= l.steps;
        int i = 0;
        for (; !meets(i) || step >= per_slice; i++) step -= meets(i) ? per_slice : 0;
        load_step(s, Matrix<bf16>{l.b[i], l.b_stride[i], l.rank, l.slice_rows[i], l.wide_slices}, n0 - l.begin[i],
                  Matrix<bf16>{l.z + i * l.rank, l.z_stride, l.rank, l.rows, l.wide_slices}, step * kSliceDeep);
    };
    if (threadIdx.x < kOutputs) {
        const int output = n0 + threadIdx.x;
        scales[threadIdx.x] = l.scale * (l.absmax && output < l.out ? l.absmax[output] / 127.0f : 1.0f);
    }
    __syncthreads();
    float sums[2][M / 8][4] = {};
    int at = 0;  // the stage to be filled; the next one is the oldest
    const auto turn = [&](int step, auto weight) {
        if (step >= 0) {
            cp_async_wait<S - 2>();
            __syncthreads();  // this step's stage is there, and nobody reads the one before's any more
        }
        if (step + S - 1 < total) load_into(stages[at], step + S - 1);
        cp_async_commit();
        at = at == S - 1 ? 0 : at + 1;
        if (step >= 0) multiply<decltype(weight)>(sums, stages[at], half, first);
    };
#pragma unroll 1
    for (int step = 1 - S; step < l.steps; step++) turn(step, W{});
#pragma unroll
    for (int i = 0; i < M; i++) sums[i / (M / 2)][i / 4 % (M / 8)][i % 4] *= scales[first + i / (M / 2) * 16 + lane / 4 + i % 4 / 2 * 8];
#pragma unroll 1
    for (int step = l.steps; step < total; step++) turn(step, bf16{});
    store_tile<M>(l, sums, reinterpret_cast<float*>(stages), half, first, n0);
}

// y = residual + the sum of its parts, in their order.
__global__ void __launch_bounds__(kThreads) add_parts(Tiled l) {
    wait_for_previous();
    const int output = (blockIdx.x * kThreads + threadIdx.x) * 4;
    const int row = blockIdx.y;
    if (output >= l.out) return;
    Vec<float, 4> sums{};
#pragma unroll 4
    for (int i = 0; i < l.splits; i++) {
        const auto part = load<float, 4>(l.parts + (static_cast<int64_t>(i) * l.rows + row) * l.pitch + output);
#pragma unroll
        for (int j = 0; j < 4; j++) sums.at[j] += part.at[j];
    }
    store_four(l, row, output, sums);
}

template <class W, int M>
void run(Context& c, const Tiled& l) {
    constexpr size_t bytes = kStages<M> * sizeof(Stage<M>);
    static_assert(bytes <= 96 << 10 && M * kPitch * sizeof(float) <= bytes);
    check_cuda(cudaFuncSetAttribute(tiled<W, M>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)), "shared memory for few_rows");
    const dim3 grid(static_cast<unsigned>(ceil_div(l.out, kOutputs)), static_cast<unsigned>(l.splits));
    LAUNCH_NEXT((tiled<W, M>), grid, dim3(kThreads), bytes, c, l);
    launched("few_rows");
    if (l.splits == 1) return;
    const dim3 all(static_cast<unsigned>(ceil_div(l.out, 4 * kThreads)), static_cast<unsigned>(l.rows));
    LAUNCH_NEXT(add_parts, all, dim3(kThreads), 0, c, l);
    launched("add_parts");
}

template <class W>
void by_rows(Context& c, const Tiled& l) {
    if (l.rows > 64) return run<W, 128>(c, l);
    if (l.rows > 32) return run<W, 64>(c, l);
    if (l.rows > 16) return run<W, 32>(c, l);
    run<W, 16>(c, l);
}

// Blocks share the columns of outputs too few to keep an H100's multiprocessors busy, on other cards too, for the same bits.
// Of so many splits, the one that takes the fewest steps one after another; kFill are for a block to begin and to end.
void split(Tiled& t, int64_t steps) {
    constexpr int64_t kProcessors = 132, kFill = 3, kMost = 16;
    const int64_t tiles = ceil_div(t.out, kOutputs);
    int64_t best = INT64_MAX;
    for (int64_t splits = 1; splits == 1 || splits <= std::min(kMost, steps / 2); splits++) {
        const int64_t each = ceil_div(steps, splits), time = ceil_div(tiles * splits, kProcessors) * (each + kFill);
        if (time >= best) continue;
        best = time;
        t.steps = static_cast<int>(each);
        t.splits = static_cast<int>(std::max<int64_t>(ceil_div(steps, each), 1));
    }
}

}  // namespace

void few_rows_mma(Context& c, const FewRows& l) {
    Tiled t{};
    t.x = l.x.as<bf16>();
    t.residual = l.residual.as<bf16>();
    t.z = l.z.as<bf16>();
    t.w = l.weight.w.data;
    t.absmax = l.weight.absmax;
    t.y = l.y.data;
    t.x_stride = l.x.stride;
    t.w_stride = l.weight.w.stride;
    t.y_stride = l.y.stride;
    t.residual_stride = l.residual.stride;
    t.z_stride = l.z.stride;
    t.in = static_cast<int>(l.weight.in);
    t.out = static_cast<int>(l.weight.out);
    t.pitch = static_cast<int>(round_up(t.out, 4));
    t.scale = l.scale;
    t.rows = static_cast<int>(l.rows);
    split(t, ceil_div(t.in * dtype_bytes(l.weight.w.dtype), 128));
    t.rank = static_cast<int>(l.slices.rank);
    t.y_float = l.y.dtype == SO8T_FLOAT32;
    t.wide = t.in * dtype_bytes(l.weight.w.dtype) % 16 == 0 && wide(l.weight.w, l.x);
    t.wide_slices = t.rank % 8 == 0 && wide(l.z);
    t.wide_y = t.out % 4 == 0 && wide(l.y) && (!l.residual || wide(l.residual));
    for (int i = 0; i < l.slices.count; i++) {
        t.begin[i] = static_cast<int>(l.slices.begin[i]);
        t.slice_rows[i] = static_cast<int>(l.slices.rows[i]);
        t.b_stride[i] = l.slices.b[i].stride;
        t.b[i] = l.slices.b[i].as<bf16>();
        t.wide_slices = t.wide_slices && wide(l.slices.b[i]);
    }
    Scratch s(c);
    if (t.splits > 1) t.parts = s.take<float>(static_cast<int64_t>(t.splits) * t.rows * t.pitch);
    if (l.weight.w.dtype == SO8T_INT8) {
        by_rows<int8_t>(c, t);
    } else {
        by_rows<bf16>(c, t);
    }
}

}  // namespace so8t::cuda
