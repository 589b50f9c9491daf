// Rotation gates: R = (I - A/2)^-1 (I + A/2), A skew (Cayley, 1846), and y = R x by blocks of eight columns.
// With M = I - A/2: dA = M^-T G (I + R)^T / 2, dtheta_ij = dA_ij - dA_ji.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "checks/so8.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

namespace {

// A in float64, whose cost is negligible. M is well conditioned: its eigenvalues are 1 + i t.
void skew(const float* theta, double a[8][8]) {
    for (int i = 0, k = 0; i < 8; i++) {
        a[i][i] = 0;
        for (int j = i + 1; j < 8; j++, k++) {
            a[i][j] = theta[k];
            a[j][i] = -static_cast<double>(theta[k]);
        }
    }
}

// b = m^-1 b by Gauss-Jordan elimination with pivoting
void solve(double m[8][8], double b[8][8]) {
    for (int k = 0; k < 8; k++) {
        int pivot = k;
        for (int i = k + 1; i < 8; i++) {
            if (std::fabs(m[i][k]) > std::fabs(m[pivot][k])) pivot = i;
        }
        for (int j = 0; j < 8; j++) {
            std::swap(m[k][j], m[pivot][j]);
            std::swap(b[k][j], b[pivot][j]);
        }
        const double inverse = 1 / m[k][k];
        for (int i = 0; i < 8; i++) {
            if (i == k) continue;
            const double f = m[i][k] * inverse;
            for (int j = 0; j < 8; j++) {
                m[i][j] -= f * m[k][j];
                b[i][j] -= f * b[k][j];
            }
        }
        for (int j = 0; j < 8; j++) {
            m[k][j] *= inverse;
            b[k][j] *= inverse;
        }
    }
}

constexpr int64_t kBlocksPerUnit = 16;
constexpr int64_t kRowsPerPass = 64;
constexpr int64_t kColumnsPerUnit = 128;

// Lane i of the result is lane j of i's own block of eight.
inline vf spread(vf v, int j) {
#if defined(__AVX512F__)
    const vi lanes = {0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8};
    return (vf)_mm512_permutexvar_ps((__m512i)(lanes + j), (__m512)v);
#else
    return (vf)_mm256_permutevar8x32_ps((__m256)v, _mm256_set1_epi32(j));
#endif
}

// column[j] lane i = R[i][j] (or R[j][i] where turned) of the blocks of columns [begin, begin + n).
inline void columns_of(const float* rotation, int64_t begin, int64_t n, bool turned, vf column[8]) {
    float part[8][W] = {};
    for (int64_t i = 0; i < n; i++) {
        const float* r = rotation + (begin + i) / 8 * 64;
        for (int j = 0; j < 8; j++) part[j][i] = turned ? r[j * 8 + i % 8] : r[i % 8 * 8 + j];
    }
    for (int j = 0; j < 8; j++) column[j] = load(part[j]);
}

inline vf turn(vf x, const vf column[8]) {
    vf y = spread(x, 0) * column[0];
    for (int j = 1; j < 8; j++) y = fma(spread(x, j), column[j], y);
    return y;
}

// y = R x or R^T x
template <class T>
void rotate(Context& c, int64_t rows, int64_t width, const View& x, const float* rotation, bool turned, const View& y) {
    c.parallel(ceil_div(rows, kRowsPerPass), [&](int64_t unit, Worker&) {
        const int64_t first = unit * kRowsPerPass, end = std::min(rows, first + kRowsPerPass);
        for_vectors(width, [&](int64_t j, auto n) {
            vf column[8];
            columns_of(rotation, j, std::min<int64_t>(W, width - j), turned, column);
            for (int64_t i = first; i < end; i++) store(y.row<T>(i) + j, turn(load(x.row<T>(i) + j, n), column), n);
        });
    });
}

}  // namespace

void cayley_forward(Context& c, const so8t_cayley_forward_params& p) {
    const CayleyForwardViews v = check(c, p);
    c.parallel(ceil_div(p.blocks, kBlocksPerUnit), [&](int64_t unit, Worker&) {
        for (int64_t k = unit * kBlocksPerUnit; k < p.blocks && k < (unit + 1) * kBlocksPerUnit; k++) {
            double a[8][8], m[8][8], n[8][8];
            skew(v.theta.row<float>(k), a);
            for (int i = 0; i < 8; i++) {
                for (int j = 0; j < 8; j++) {
                    m[i][j] = (i == j) - a[i][j] / 2;
                    n[i][j] = (i == j) + a[i][j] / 2;
                }
            }
            solve(m, n);
            for (int i = 0; i < 64; i++) v.rotation.row<float>(k)[i] = static_cast<float>(n[i / 8][i % 8]);
        }
    });
}

void cayley_backward(Context& c, const so8t_cayley_backward_params& p) {
    const CayleyBackwardViews v = check(c, p);
    c.parallel(ceil_div(p.blocks, kBlocksPerUnit), [&](int64_t unit, Worker&) {
        for (int64_t k = unit * kBlocksPerUnit; k < p.blocks && k < (unit + 1) * kBlocksPerUnit; k++) {
            double a[8][8], m[8][8], g[8][8], d[8][8];
            skew(v.theta.row<float>(k), a);
            for (int i = 0; i < 8; i++) {
                for (int j = 0; j < 8; j++) {
                    m[i][j] = (i == j) + a[i][j] / 2;  // M^T
                    g[i][j] = v.drotation.row<float>(k)[i * 8 + j];
                }
            }
            solve(m, g);
            for (int i = 0; i < 8; i++) {
                for (int j = 0; j < 8; j++) {
                    double s = g[i][j];
                    for (int l = 0; l < 8; l++) s += g[i][l] * v.rotation.row<float>(k)[j * 8 + l];
                    d[i][j] = s / 2;
                }
            }
            float* out = v.dtheta.row<float>(k);
            for (int i = 0, l = 0; i < 8; i++) {
                for (int j = i + 1; j < 8; j++, l++) out[l] += static_cast<float>(d[i][j] - d[j][i]);
            }
        }
    });
}

void rotate_forward(Context& c, const so8t_rotate_forward_params& p) {
    const RotateForwardViews v = check(c, p);
    by_compute(v.x.dtype, [&](auto tag) { rotate<decltype(tag)>(c, p.rows, 8 * p.blocks, v.x, v.rotation.as<float>(), false, v.y); });
}

void rotate_backward(Context& c, const so8t_rotate_backward_params& p) {
    const RotateBackwardViews v = check(c, p);
    const int64_t width = 8 * p.blocks;
    by_compute(v.dy.dtype, [&](auto tag) {
        using T = decltype(tag);
        // The sums over rows come first, as dx may be dy.
        if (v.drotation) {
            c.parallel(ceil_div(width, kColumnsPerUnit), [&](int64_t unit, Worker&) {
                const int64_t begin = unit * kColumnsPerUnit, n = std::min(kColumnsPerUnit, width - begin);
                float sums[8][kColumnsPerUnit] = {};  // [j][column i of its block]: sum of dy_i x_j
                for (int64_t first = 0; first < p.rows; first += kRowsPerPass) {
                    const int64_t end = std::min(p.rows, first + kRowsPerPass);
                    for_vectors(n, [&](int64_t at, auto k) {
                        vf s[8];
                        for (int j = 0; j < 8; j++) s[j] = load(sums[j] + at);
                        for (int64_t i = first; i < end; i++) {
                            const vf a = load(v.x.row<T>(i) + begin + at, k), g = load(v.dy.row<T>(i) + begin + at, k);
                            for (int j = 0; j < 8; j++) s[j] = fma(spread(a, j), g, s[j]);
                        }
                        for (int j = 0; j < 8; j++) store(sums[j] + at, s[j]);
                    });
                }
                for (int64_t at = 0; at < n; at++) {
                    float* out = v.drotation.as<float>() + (begin + at) * 8;
                    for (int j = 0; j < 8; j++) out[j] += sums[j][at];
                }
            });
        }
        rotate<T>(c, p.rows, width, v.dy, v.rotation.as<float>(), true, v.dx);
    });
}

}  // namespace so8t::SO8T_ISA
