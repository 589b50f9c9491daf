// Prints where the emulated instructions of ptx.h take and put each element, found by running them on tagged values. Compiled
// with the emulator; its lines are those of cute.cpp, in another order.
#include <cstdio>

#include "bits.h"
#include "ptx.h"

using namespace so8t::cuda;

namespace {

cudaStream_t stream() {
    static cudaStream_t s = nullptr;
    if (!s) cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
    return s;
}

// A single 1 in a at (lane, place); b holds 1 to 128, c multiples of 256, so that c tells what met where.
void mma_kernel(int element, float* out) {
    const int lane = static_cast<int>(threadIdx.x);
    uint32_t a[4] = {}, b[2];
    if (lane == element / 8) a[element % 8 / 2] = 0x3F80u << 16 * (element % 2);
    const auto tag = [&](int i) { return static_cast<uint32_t>(__float_as_uint(static_cast<float>(4 * lane + i + 1)) >> 16); };
    for (int i = 0; i < 2; i++) b[i] = tag(2 * i) | tag(2 * i + 1) << 16;
    float c[4];
    for (int i = 0; i < 4; i++) c[i] = 256.0f * static_cast<float>(4 * lane + i);
    mma_bf16(c, a, b[0], b[1]);
    for (int i = 0; i < 4; i++) out[4 * lane + i] = c[i];
}

void print_mma() {
    for (int i = 0; i < 32 * 8; i++) {
        float out[32 * 4];
        LAUNCH(mma_kernel, dim3(1), dim3(32), 0, stream(), i, out);
        for (int o = 0; o < 32 * 4; o++) {
            const int met = static_cast<int>(out[o]) - 256 * o;
            if (met != 0) std::printf("mma a %d.%d b %d.%d c %d.%d\n", i / 8, i % 8, (met - 1) / 4, (met - 1) % 4, o / 4, o % 4);
        }
    }
}

// Each lane names a row of its own; element i of it holds 8 lane + i.
template <bool Transposed>
void ldmatrix_kernel(uint32_t* out) {
    alignas(16) __shared__ uint16_t rows[32 * 8];
    const int lane = static_cast<int>(threadIdx.x);
    for (int i = 0; i < 8; i++) rows[8 * lane + i] = static_cast<uint16_t>(8 * lane + i);
    __syncthreads();
    uint32_t r[4];
    if (Transposed) {
        ldmatrix4_transposed(r, rows + 8 * lane);
    } else {
        ldmatrix4(r, rows + 8 * lane);
    }
    for (int i = 0; i < 4; i++) out[4 * lane + i] = r[i];
}

template <bool Transposed>
void print_ldmatrix(const char* name) {
    uint32_t out[32 * 4];
    LAUNCH((ldmatrix_kernel<Transposed>), dim3(1), dim3(32), 0, stream(), out);
    for (int o = 0; o < 32 * 8; o++) {
        const uint32_t from = out[o / 2] >> 16 * (o % 2) & 0xFFFF;
        std::printf("%s %u.%u to %d.%d\n", name, from / 8, from % 8, o / 8, o % 8);
    }
}

void print_pack() {
    for (int i = 0; i < kFloats; i++) std::printf("pack %d %08x\n", i, pack_bf16(float_at(i), float_at(kFloats - 1 - i)));
}

}  // namespace

int main() {
    print_mma();
    print_ldmatrix<false>("ldmatrix4");
    print_ldmatrix<true>("ldmatrix4_transposed");
    print_pack();
    if (cudaGetLastError() != cudaSuccess) return 1;
}
