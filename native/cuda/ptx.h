// Every PTX instruction of this library, each with an emulated version. The layouts of fragments are those in the
// PTX ISA manual, sections "Matrix Fragments for mma.m16n8k16" and "ldmatrix".
#pragma once

#include "device.h"

#if defined(SO8T_EMULATED)
#include <vector>
#endif

namespace so8t::cuda {

#if !defined(SO8T_EMULATED)

__device__ inline uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

// Copies 16 bytes from global to shared memory asynchronously; if !inside, writes zeros and reads nothing.
__device__ inline void cp_async16(void* to, const void* from, bool inside = true) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from), "r"(inside ? 16 : 0) : "memory");
}
__device__ inline void cp_async_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
// Waits until at most N of this thread's groups are pending.
template <int N>
__device__ inline void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

// 16 bytes that nothing writes meanwhile and nobody reads again soon: not kept in L1. In program order, so that the loads of a
// loop are under way together.
__device__ inline Vec<uint32_t, 4> load_once(const void* p) {
    Vec<uint32_t, 4> v;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];\n" : "=r"(v.at[0]), "=r"(v.at[1]), "=r"(v.at[2]), "=r"(v.at[3]) : "l"(p));
    return v;
}

// Four 8 x 8 matrices of 16 bits; lane 8 m + i names row i of matrix m. Register m of lane l: row l / 4, columns 2 (l % 4) and + 1.
__device__ inline void ldmatrix4(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
// The same, each matrix transposed: register m of lane l holds rows 2 (l % 4) and + 1 of column l / 4.
__device__ inline void ldmatrix4_transposed(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// c[16, 8] += a[16, 16] b[16, 8]. a: rows l / 4 and + 8 in registers 0, 2 and 1, 3; columns 2 (l % 4), + 1 in 0, 1, + 8 in 2, 3.
// b: column l / 4; rows 2 (l % 4), + 1 in register 0, + 8 in 1. c: rows l / 4 (0, 1) and + 8 (2, 3), columns 2 (l % 4), + 1.
__device__ inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// x. What follows from it is computed where it is needed, not ahead and kept in registers that are scarce.
__device__ inline int opaque(int x) {
    asm volatile("" : "+r"(x));
    return x;
}

__device__ inline void store16(void* to, const uint4& w) {
    asm volatile("st.global.v4.b32 [%0], {%1,%2,%3,%4};\n" ::"l"(__cvta_generic_to_global(to)), "r"(w.x), "r"(w.y), "r"(w.z), "r"(w.w) : "memory");
}
// The first statement of a kernel for LAUNCH_NEXT: all that earlier kernels wrote is there, and the next one may come.
__device__ inline void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;\n" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;\n" ::: "memory");
#endif
}
// Fetches what lies at an address to the L2 cache. Nothing is read: it may still be about to be written.
__device__ inline void prefetch(const void* p) { asm volatile("prefetch.global.L2 [%0];\n" ::"l"(p)); }

// Two floats as bfloat16, the first in the low half.
__device__ inline uint32_t pack_bf16(float low, float high) {
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

// a b + c of two bfloat16 at once, each rounded once.
__device__ inline uint32_t fma_bf16x2(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t r;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;\n" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}

// 2^x, to 2 units in the last place.
__device__ inline float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
    return y;
}

// threadIdx.x, read anew: what is computed from it is not kept in registers through a loop, where they are scarce.
__device__ inline int reread_thread() {
    uint32_t t;
    asm volatile("mov.u32 %0, %%tid.x;\n" : "=r"(t));
    return static_cast<int>(t);
}

#else

struct Copy {
    void* to;
    const void* from;
    bool inside;
    void land() const {
        if (inside) {
            std::memcpy(to, from, 16);
        } else {
            std::memset(to, 0, 16);
        }
    }
};
// A thread's pending groups, the last one still open.
inline std::vector<std::vector<Copy>>& copies() {
    static std::vector<std::vector<std::vector<Copy>>> all(1024, std::vector<std::vector<Copy>>(1));
    return all[static_cast<size_t>(emulated::here().linear)];
}
inline void cp_async16(void* to, const void* from, bool inside = true) {
    emulated::aligned16(to);
    emulated::aligned16(from);
    const Copy c{to, from, inside};
    if (emulated::copies_land_now()) {
        c.land();
    } else {
        copies().back().push_back(c);
    }
}
inline Vec<uint32_t, 4> load_once(const void* p) {
    emulated::aligned16(p);
    Vec<uint32_t, 4> v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
inline void cp_async_commit() { copies().emplace_back(); }
template <int N>
inline void cp_async_wait() {
    auto& groups = copies();
    while (groups.size() > N + 1) {
        for (const Copy& c : groups.front()) c.land();
        groups.erase(groups.begin());
    }
}

inline void ldmatrix4(uint32_t (&r)[4], const void* row) {
    emulated::aligned16(row);
    const void* rows[32];
    emulated::from_all(row, rows);
    const int l = emulated::lane();
    for (int m = 0; m < 4; m++) std::memcpy(&r[m], static_cast<const char*>(rows[8 * m + l / 4]) + 4 * (l % 4), 4);
}
inline void ldmatrix4_transposed(uint32_t (&r)[4], const void* row) {
    emulated::aligned16(row);
    const void* rows[32];
    emulated::from_all(row, rows);
    const int l = emulated::lane();
    for (int m = 0; m < 4; m++) {
        uint16_t half[2];
        for (int i = 0; i < 2; i++) std::memcpy(&half[i], static_cast<const char*>(rows[8 * m + 2 * (l % 4) + i]) + 2 * (l / 4), 2);
        r[m] = half[0] | static_cast<uint32_t>(half[1]) << 16;
    }
}

struct Fragments {
    uint32_t a[4], b[2];
};
inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    Fragments mine, all[32];
    std::memcpy(mine.a, a, sizeof mine.a);
    mine.b[0] = b0;
    mine.b[1] = b1;
    emulated::from_all(mine, all);
    const auto half = [](uint32_t pair, int i) { return __uint_as_float((i ? pair & 0xFFFF0000u : pair << 16)); };
    const int l = emulated::lane();
    for (int i = 0; i < 4; i++) {
        const int row = l / 4 + 8 * (i / 2), column = 2 * (l % 4) + i % 2;
        float s = c[i];
        for (int k = 0; k < 16; k++) {
            const uint32_t x = all[row % 8 * 4 + k % 8 / 2].a[row / 8 + 2 * (k / 8)], y = all[column * 4 + k % 8 / 2].b[k / 8];
            s += half(x, k % 2) * half(y, k % 2);
        }
        c[i] = s;
    }
}

inline void wait_for_previous() {}
inline void prefetch(const void*) {}
inline int opaque(int x) { return x; }
inline void store16(void* to, const uint4& w) {
    emulated::aligned16(to);
    std::memcpy(to, &w, sizeof w);
}
inline uint32_t pack_bf16(float low, float high) { return float_to_bfloat(low) | static_cast<uint32_t>(float_to_bfloat(high)) << 16; }
inline uint32_t fma_bf16x2(uint32_t a, uint32_t b, uint32_t c) {
    const auto low = [](uint32_t pair) { return __uint_as_float(pair << 16); };
    const auto high = [](uint32_t pair) { return __uint_as_float(pair & 0xFFFF0000u); };
    return pack_bf16(low(a) * low(b) + low(c), high(a) * high(b) + high(c));
}
inline float exp2_fast(float x) { return exp2f(x); }
inline int reread_thread() { return static_cast<int>(threadIdx.x); }

#endif

}  // namespace so8t::cuda
