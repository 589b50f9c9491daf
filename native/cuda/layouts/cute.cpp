// Prints where CUTLASS's headers place the elements of the fragments that ../ptx.h uses: CuTe's MMA_Traits and Copy_Traits
// are layouts, which evaluate on the host. The lines are those of twins.cpp, in another order.
#include <cuda_bf16.h>

#include <cstdio>
#include <cute/atom/copy_traits_sm75.hpp>
#include <cute/atom/mma_traits_sm80.hpp>

#include "bits.h"

namespace {

// An element of a fragment is a lane and a place in it: pairs of 16 bits fill a register from its low half on.
void print_mma() {
    using Traits = cute::MMA_Traits<cute::SM80_16x8x16_F32BF16BF16F32_TN>;
    constexpr int m = 16, n = 8;
    for (int i = 0; i < 32 * 8; i++) {
        for (int j = 0; j < 32 * 4; j++) {
            const int a = Traits::ALayout{}(i / 8, i % 8), b = Traits::BLayout{}(j / 4, j % 4);
            if (a / m != b / n) continue;  // another k
            for (int o = 0; o < 32 * 4; o++) {
                const int c = Traits::CLayout{}(o / 4, o % 4);
                if (c % m == a % m && c / m == b % n) std::printf("mma a %d.%d b %d.%d c %d.%d\n", i / 8, i % 8, j / 4, j % 4, o / 4, o % 4);
            }
        }
    }
}

// Copy_Traits count in bits. A lane names 128 of them.
template <class Traits>
void print_ldmatrix(const char* name) {
    const typename Traits::SrcLayout from{};
    const typename Traits::DstLayout to{};
    for (int i = 0; i < 32 * 8; i++) {
        for (int o = 0; o < 32 * 8; o++) {
            if (from(i / 8, i % 8 * 16) != to(o / 8, o % 8 * 16)) continue;
            std::printf("%s %d.%d to %d.%d\n", name, i / 8, i % 8, o / 8, o % 8);
        }
    }
}

void print_pack() {
    for (int i = 0; i < kFloats; i++) {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(float_at(i), float_at(kFloats - 1 - i));
        uint32_t u;
        std::memcpy(&u, &pair, 4);
        std::printf("pack %d %08x\n", i, u);
    }
}

}  // namespace

int main() {
    print_mma();
    print_ldmatrix<cute::Copy_Traits<cute::SM75_U32x4_LDSM_N>>("ldmatrix4");
    print_ldmatrix<cute::Copy_Traits<cute::SM75_U16x8_LDSM_T>>("ldmatrix4_transposed");
    print_pack();
}
