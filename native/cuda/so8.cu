// Rotation gates: R = (I - A/2)^-1 (I + A/2), A skew (Cayley, 1846), and y = R x by blocks of eight columns.
// With M = I - A/2: dA = M^-T G (I + R)^T / 2, dtheta_ij = dA_ij - dA_ji.
// Reference: TestOperations/rotate in native/layers_test.go.
#include "checks/so8.h"
#include "layout.h"

namespace so8t::cuda {

namespace {

// ---- Cayley: eight lanes a block, one column each; in float64 ----

constexpr int kCayleyThreads = 128;
constexpr int kCayleyBlocks = kCayleyThreads / 8;

// An element of A, whose strict upper triangle is given by rows.
__device__ inline double skew(const float* theta, int i, int j) {
    const auto at = [&](int a, int b) { return static_cast<double>(theta[a * (15 - a) / 2 + b - a - 1]); };
    return i < j ? at(i, j) : i > j ? -at(j, i) : 0.0;
}

// b = m^-1 b. The symmetric part of M and of every Schur complement is at least I, so that pivots stay >= 1 without pivoting.
__device__ inline void solve(double (&m)[8], double (&b)[8]) {
    const int first = threadIdx.x % 32 / 8 * 8;
#pragma unroll
    for (int k = 0; k < 8; k++) {
        double pivot[8];  // column k
#pragma unroll
        for (int i = 0; i < 8; i++) pivot[i] = __shfl_sync(kAllLanes, m[i], first + k);
        m[k] /= pivot[k];
        b[k] /= pivot[k];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (i == k) continue;
            m[i] -= pivot[i] * m[k];
            b[i] -= pivot[i] * b[k];
        }
    }
}

__global__ void __launch_bounds__(kCayleyThreads)
    cayley_forward_kernel(int64_t blocks, const float* theta, int64_t theta_stride, float* rotation, int64_t rotation_stride) {
    const int64_t block = static_cast<int64_t>(blockIdx.x) * kCayleyBlocks + threadIdx.x / 8;
    const int j = threadIdx.x % 8;
    const bool inside = block < blocks;
    double m[8], n[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const double a = inside ? skew(theta + block * theta_stride, i, j) / 2 : 0.0;
        m[i] = (i == j) - a;
        n[i] = (i == j) + a;
    }
    solve(m, n);
    if (!inside) return;
#pragma unroll
    for (int i = 0; i < 8; i++) rotation[block * rotation_stride + i * 8 + j] = static_cast<float>(n[i]);
}

__global__ void __launch_bounds__(kCayleyThreads)
    cayley_backward_kernel(int64_t blocks, const float* theta, int64_t theta_stride, const float* rotation, int64_t rotation_stride, const float* drotation,
                           int64_t drotation_stride, float* dtheta, int64_t dtheta_stride) {
    __shared__ double solved[kCayleyBlocks][8][8];
    const int64_t block = static_cast<int64_t>(blockIdx.x) * kCayleyBlocks + threadIdx.x / 8;
    const int j = threadIdx.x % 8;
    const bool inside = block < blocks;
    double m[8], g[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        m[i] = (i == j) + (inside ? skew(theta + block * theta_stride, i, j) / 2 : 0.0);  // M^T
        g[i] = inside ? drotation[block * drotation_stride + i * 8 + j] : 0.0;
    }
    solve(m, g);
    auto& x = solved[threadIdx.x / 8];
#pragma unroll
    for (int i = 0; i < 8; i++) x[i][j] = g[i];
    __syncthreads();
    if (!inside) return;
    const float* r = rotation + block * rotation_stride;
    // Element (a, b) of X (I + R)^T
    const auto element = [&](int a, int b) {
        double s = x[a][b];
        for (int l = 0; l < 8; l++) s += x[a][l] * r[b * 8 + l];
        return s;
    };
    for (int i = 0; i < j; i++) dtheta[block * dtheta_stride + i * (15 - i) / 2 + j - i - 1] += static_cast<float>((element(i, j) - element(j, i)) / 2);
}

// ---- rotations: a thread holds one block's R in registers and goes down the rows ----

constexpr int kThreads = 128;
constexpr int kTile = 32;                   // blocks of eight columns side by side
constexpr int kStreams = kThreads / kTile;  // rows at once
constexpr int kRowsAhead = 4;               // of a stream, loaded at once

// R, or its transpose.
__device__ inline void load_rotation(const float* rotation, bool turned, float (&r)[8][8]) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
#pragma unroll
        for (int j = 0; j < 8; j++) r[turned ? j : i][turned ? i : j] = rotation[i * 8 + j];
    }
}

template <bool Wide, class T>
__device__ inline Vec<T, 8> load8(const T* p) {
    Vec<T, 8> v;
    if (Wide) {
        v = load<T, 8>(p);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) v.at[i] = p[i];
    }
    return v;
}
template <bool Wide, class T>
__device__ inline void store8(T* p, const Vec<T, 8>& v) {
    if (Wide) {
        store<T, 8>(p, v);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) p[i] = v.at[i];
    }
}

template <class T>
__device__ inline Vec<T, 8> turn(const float (&r)[8][8], const Vec<T, 8>& x) {
    Vec<T, 8> y;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float s = r[i][0] * to_float(x.at[0]);
#pragma unroll
        for (int j = 1; j < 8; j++) s = fmaf(r[i][j], to_float(x.at[j]), s);
        from_float(s, y.at[i]);
    }
    return y;
}

// y = R x or R^T x; y may be x. Block (b, s) has tile b of the columns and rows [s, s + 1) * stretch.
template <class T, bool Wide, bool Turned>
__global__ void __launch_bounds__(kThreads)
    rotate_kernel(int64_t rows, int64_t blocks, int64_t stretch, const T* x, int64_t x_stride, const float* rotation, T* y, int64_t y_stride) {
    const int64_t block = static_cast<int64_t>(blockIdx.x) * kTile + threadIdx.x % kTile;
    if (block >= blocks) return;
    float r[8][8];
    load_rotation(rotation + block * 64, Turned, r);
    const int64_t end = rows < (blockIdx.y + 1) * stretch ? rows : (blockIdx.y + 1) * stretch;
    for (int64_t row = blockIdx.y * stretch + threadIdx.x / kTile; row < end; row += kStreams * kRowsAhead) {
        Vec<T, 8> v[kRowsAhead];
#pragma unroll
        for (int k = 0; k < kRowsAhead; k++) {
            if (row + k * kStreams < end) v[k] = load8<Wide>(x + (row + k * kStreams) * x_stride + block * 8);
        }
#pragma unroll
        for (int k = 0; k < kRowsAhead; k++) {
            if (row + k * kStreams < end) store8<Wide>(y + (row + k * kStreams) * y_stride + block * 8, turn(r, v[k]));
        }
    }
}

// dx = R^T dy, and partial[s][block] = the stretch's sum of dy x^T. Each row is read before it is written, as dx may be dy.
template <class T, bool Wide>
__global__ void __launch_bounds__(kThreads) backward_kernel(int64_t rows, int64_t blocks, int64_t stretch, const T* x, int64_t x_stride, const float* rotation,
                                                            const T* dy, int64_t dy_stride, T* dx, int64_t dx_stride, float* partial) {
    __shared__ float sums[kTile][64 + 1];
    const int lane = threadIdx.x % kTile, stream = threadIdx.x / kTile;
    const int64_t block = static_cast<int64_t>(blockIdx.x) * kTile + lane;
    const bool inside = block < blocks;
    float s[8][8] = {};
    if (inside) {
        float r[8][8];
        load_rotation(rotation + block * 64, true, r);
        const int64_t end = rows < (blockIdx.y + 1) * stretch ? rows : (blockIdx.y + 1) * stretch;
        for (int64_t row = blockIdx.y * stretch + stream; row < end; row += kStreams * 2) {
            Vec<T, 8> a[2], g[2];
#pragma unroll
            for (int k = 0; k < 2; k++) {
                if (row + k * kStreams < end) {
                    a[k] = load8<Wide>(x + (row + k * kStreams) * x_stride + block * 8);
                    g[k] = load8<Wide>(dy + (row + k * kStreams) * dy_stride + block * 8);
                }
            }
#pragma unroll
            for (int k = 0; k < 2; k++) {
                if (row + k * kStreams < end) {
#pragma unroll
                    for (int i = 0; i < 8; i++) {
#pragma unroll
                        for (int j = 0; j < 8; j++) s[i][j] = fmaf(to_float(g[k].at[i]), to_float(a[k].at[j]), s[i][j]);
                    }
                    store8<Wide>(dx + (row + k * kStreams) * dx_stride + block * 8, turn(r, g[k]));
                }
            }
        }
    }
    // One stream after another, so that the order is fixed.
    for (int k = 0; k < kStreams; k++) {
        if (stream == k) {
#pragma unroll
            for (int i = 0; i < 64; i++) sums[lane][i] = k == 0 ? s[i / 8][i % 8] : sums[lane][i] + s[i / 8][i % 8];
        }
        __syncthreads();
    }
    for (int i = threadIdx.x; i < kTile * 64; i += kThreads) {
        const int64_t at = static_cast<int64_t>(blockIdx.x) * kTile + i / 64;
        if (at < blocks) partial[(blockIdx.y * blocks + at) * 64 + i % 64] = sums[i / 64][i % 64];
    }
}

// drotation += the partial sums, in their order
__global__ void __launch_bounds__(kThreads) add_kernel(int64_t n, int64_t parts, const float* partial, float* drotation) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i >= n) return;
    float s = 0;
    for (int64_t k = 0; k < parts; k++) s += partial[k * n + i];
    drotation[i] += s;
}

// Rows of one block of threads: enough to outweigh the loads of R and the sums, few enough to fill the GPU. It depends on the
// sizes alone, so that the order of sums is the same on every device.
int64_t stretch_of(int64_t rows, int64_t tiles) {
    constexpr int64_t wanted = 2048, least = 4 * kStreams * kRowsAhead;
    return round_up(std::min(std::max(ceil_div(rows * tiles, wanted), least), int64_t(256)), kStreams * kRowsAhead);
}

template <class T, bool Turned>
void rotate([[maybe_unused]] Context& c, int64_t rows, int64_t blocks, const View& x, const float* rotation, const View& y) {
    const int64_t tiles = ceil_div(blocks, kTile);
    const int64_t stretch = std::max(stretch_of(rows, tiles), round_up(ceil_div(rows, 65535), kStreams));
    const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(ceil_div(rows, stretch)));
    if (wide(x, y)) {
        LAUNCH((rotate_kernel<T, true, Turned>), grid, dim3(kThreads), 0, c.stream, rows, blocks, stretch, x.as<T>(), x.stride, rotation, y.as<T>(), y.stride);
    } else {
        LAUNCH((rotate_kernel<T, false, Turned>), grid, dim3(kThreads), 0, c.stream, rows, blocks, stretch, x.as<T>(), x.stride, rotation, y.as<T>(), y.stride);
    }
    launched("rotate");
}

}  // namespace

void cayley_forward(Context& c, const so8t_cayley_forward_params& p) {
    const CayleyForwardViews v = check(c, p);
    if (p.blocks == 0) return;
    LAUNCH(cayley_forward_kernel, dim3(static_cast<unsigned>(ceil_div(p.blocks, kCayleyBlocks))), dim3(kCayleyThreads), 0, c.stream, p.blocks,
           v.theta.as<float>(), v.theta.stride, v.rotation.as<float>(), v.rotation.stride);
    launched("cayley_forward");
}

void cayley_backward(Context& c, const so8t_cayley_backward_params& p) {
    const CayleyBackwardViews v = check(c, p);
    if (p.blocks == 0) return;
    LAUNCH(cayley_backward_kernel, dim3(static_cast<unsigned>(ceil_div(p.blocks, kCayleyBlocks))), dim3(kCayleyThreads), 0, c.stream, p.blocks,
           v.theta.as<float>(), v.theta.stride, v.rotation.as<float>(), v.rotation.stride, v.drotation.as<float>(), v.drotation.stride, v.dtheta.as<float>(),
           v.dtheta.stride);
    launched("cayley_backward");
}

void rotate_forward(Context& c, const so8t_rotate_forward_params& p) {
    const RotateForwardViews v = check(c, p);
    if (p.rows == 0 || p.blocks == 0) return;
    by_compute(v.x.dtype, [&](auto tag) { rotate<decltype(tag), false>(c, p.rows, p.blocks, v.x, v.rotation.as<float>(), v.y); });
}

void rotate_backward(Context& c, const so8t_rotate_backward_params& p) {
    const RotateBackwardViews v = check(c, p);
    if (p.rows == 0 || p.blocks == 0) return;
    by_compute(v.dy.dtype, [&](auto tag) {
        using T = decltype(tag);
        if (!v.drotation) {
            rotate<T, true>(c, p.rows, p.blocks, v.dy, v.rotation.as<float>(), v.dx);
            return;
        }
        const int64_t tiles = ceil_div(p.blocks, kTile);
        const int64_t stretch = std::max(stretch_of(p.rows, tiles), round_up(ceil_div(p.rows, 65535), kStreams)), parts = ceil_div(p.rows, stretch);
        Scratch scratch(c);
        float* partial = scratch.take<float>(parts * p.blocks * 64);
        const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(parts));
        if (wide(v.x, v.dy, v.dx)) {
            LAUNCH((backward_kernel<T, true>), grid, dim3(kThreads), 0, c.stream, p.rows, p.blocks, stretch, v.x.as<T>(), v.x.stride, v.rotation.as<float>(),
                   v.dy.as<T>(), v.dy.stride, v.dx.as<T>(), v.dx.stride, partial);
        } else {
            LAUNCH((backward_kernel<T, false>), grid, dim3(kThreads), 0, c.stream, p.rows, p.blocks, stretch, v.x.as<T>(), v.x.stride, v.rotation.as<float>(),
                   v.dy.as<T>(), v.dy.stride, v.dx.as<T>(), v.dx.stride, partial);
        }
        launched("rotate_backward");
        LAUNCH(add_kernel, dim3(static_cast<unsigned>(ceil_div(p.blocks * 64, kThreads))), dim3(kThreads), 0, c.stream, p.blocks * 64, parts, partial,
               v.drotation.as<float>());
        launched("rotate_backward");
    });
}

}  // namespace so8t::cuda
