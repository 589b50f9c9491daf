// Kernels: one fiber a CUDA thread, block after block.
#include "cuda_runtime.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

// Saves the callee-saved registers on the stack and its address in *from, and continues where `to` was saved.
extern "C" void so8t_switch_fiber(void** from, void* to);
asm(R"(
.text
.local so8t_switch_fiber
.type so8t_switch_fiber, @function
so8t_switch_fiber:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size so8t_switch_fiber, . - so8t_switch_fiber
)");

namespace emulated {

namespace {

constexpr size_t kStack = 128 << 10;

enum class Waits : uint8_t { nothing, block, warp };

struct Fiber {
    Place place;
    void* stack = nullptr;
    void* saved = nullptr;
    int line = 0;  // of the barrier it waits at
    Waits waits = Waits::nothing;
    bool started = false, done = false;
};

struct alignas(64) Exchange {
    unsigned char lane[32][64];
};

struct Machine {
    std::vector<Fiber> fibers;
    std::vector<Exchange> exchanges;
    std::vector<unsigned char> dynamic;
    unsigned char* dynamic_at = nullptr;
    const std::function<void()>* body = nullptr;
    const char* kernel = "";
    void* scheduler = nullptr;
    int threads = 0, current = 0;
    dim3 block, grid, index;
    uint64_t random = 0;
    std::mutex one_launch;
};

Machine& machine() {
    static Machine m;
    return m;
}

[[noreturn]] void die(const char* what) {
    const Machine& m = machine();
    std::fprintf(stderr, "emulated CUDA: %s in %s, block %u, %u, %u\n", what, m.kernel, m.index.x, m.index.y, m.index.z);
    std::abort();
}

unsigned draw() {
    uint64_t& x = machine().random;
    if (x == 0) {
        const char* seed = std::getenv("SO8T_EMULATED_SEED");
        x = (seed ? std::strtoull(seed, nullptr, 10) : 0) * 2654435761u + 88172645463325252ull;
    }
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return static_cast<unsigned>(x >> 16);
}

void yield(Waits w) {
    Machine& m = machine();
    Fiber& f = m.fibers[m.current];
    f.waits = w;
    so8t_switch_fiber(&f.saved, m.scheduler);
}

void trampoline() {
    Machine& m = machine();
    (*m.body)();
    Fiber& f = m.fibers[m.current];
    f.done = true;
    so8t_switch_fiber(&f.saved, m.scheduler);
    std::abort();  // a finished fiber is never resumed
}

void resume(int i) {
    Machine& m = machine();
    m.current = i;
    Fiber& f = m.fibers[i];
    if (!f.started) {
        f.started = true;
        // As if trampoline had been called: the stack 16-byte aligned below its return address, six registers below that.
        void** top = reinterpret_cast<void**>(static_cast<char*>(f.stack) + kStack) - 1;
        *--top = reinterpret_cast<void*>(&trampoline);
        for (int r = 0; r < 6; r++) *--top = nullptr;
        f.saved = top;
    }
    so8t_switch_fiber(&m.scheduler, f.saved);
}

// Runs one warp until all of its threads wait at a block barrier or are done.
void run_warp(int first, int end) {
    Machine& m = machine();
    for (;;) {
        const bool backwards = draw() & 1;
        bool ran = false;
        for (int j = 0; j < end - first; j++) {
            const int i = backwards ? end - 1 - j : first + j;
            Fiber& f = m.fibers[i];
            if (!f.done && f.waits == Waits::nothing) {
                resume(i);
                ran = true;
            }
        }
        int live = 0, collective = 0;
        for (int i = first; i < end; i++) {
            live += !m.fibers[i].done;
            collective += !m.fibers[i].done && m.fibers[i].waits == Waits::warp;
        }
        if (collective > 0 && (collective != live || live != end - first)) die("a warp-collective that part of a warp reached");
        if (collective > 0) {
            for (int i = first; i < end; i++) m.fibers[i].waits = Waits::nothing;
            ran = true;
        }
        if (!ran) return;
    }
}

void run_block() {
    Machine& m = machine();
    for (int i = 0; i < m.threads; i++) {
        Fiber& f = m.fibers[i];
        f.started = f.done = false;
        f.waits = Waits::nothing;
    }
    const int warps = (m.threads + 31) / 32;
    std::vector<int> order(warps);
    for (int i = 0; i < warps; i++) order[i] = i;
    for (;;) {
        for (int i = warps - 1; i > 0; i--) std::swap(order[i], order[draw() % (i + 1)]);
        for (int w : order) run_warp(32 * w, std::min(m.threads, 32 * w + 32));
        int live = 0, waiting = 0;
        int line = 0;
        for (int i = 0; i < m.threads; i++) {
            Fiber& f = m.fibers[i];
            if (f.done) continue;
            live++;
            waiting += f.waits == Waits::block;
            if (line && line != f.line) die("threads wait at different barriers");
            line = f.line;
            f.waits = Waits::nothing;
        }
        if (live == 0) return;
        if (live != m.threads) die("a thread left before a barrier");
        if (waiting != live) die("threads wait for ever");
    }
}

}  // namespace

const Place& here() { return machine().fibers[machine().current].place; }
const dim3& block_index() { return machine().index; }
const dim3& block_size() { return machine().block; }
const dim3& grid_size() { return machine().grid; }
int lane() { return here().linear & 31; }
unsigned char* dynamic_shared() { return machine().dynamic_at; }

bool copies_land_now() {
    static const bool now = [] {
        const char* when = std::getenv("SO8T_EMULATED_COPIES");
        return when && std::strcmp(when, "now") == 0;
    }();
    return now;
}

const unsigned char* exchange(const void* value, size_t bytes) {
    Machine& m = machine();
    Exchange& e = m.exchanges[here().linear / 32];
    std::memcpy(e.lane[lane()], value, bytes);
    yield(Waits::warp);
    return e.lane[0];
}

void exchanged() { yield(Waits::warp); }

void aligned16(const void* address) {
    if (reinterpret_cast<uintptr_t>(address) % 16) die("an address that is no multiple of 16");
}

void block_barrier(int line) {
    Machine& m = machine();
    m.fibers[m.current].line = line;
    yield(Waits::block);
}

void launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, const Kernel& kernel, const std::function<void()>& body) {
    Machine& m = machine();
    const std::lock_guard<std::mutex> lock(m.one_launch);
    if (const cudaError_t e = refused(grid, block, shared_bytes, kernel); e != cudaSuccess) {
        launch_failed(e);
        return;
    }
    if (lost_at_this_launch()) return;
    executed(stream, 2 + 1e-4 * grid.x * grid.y * grid.z * block.x * block.y * block.z);
    const unsigned threads = block.x * block.y * block.z;
    m.threads = static_cast<int>(threads);
    m.block = block;
    m.grid = grid;
    m.kernel = kernel.name.c_str();
    m.body = &body;
    if (m.fibers.size() < threads) m.fibers.resize(threads);
    m.exchanges.resize((threads + 31) / 32);
    if (m.dynamic.size() < shared_bytes + 128) m.dynamic.resize(shared_bytes + 128);
    m.dynamic_at = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(m.dynamic.data()) + 127) & ~uintptr_t(127));
    int i = 0;
    for (unsigned z = 0; z < block.z; z++) {
        for (unsigned y = 0; y < block.y; y++) {
            for (unsigned x = 0; x < block.x; x++, i++) {
                Fiber& f = m.fibers[i];
                f.place = {dim3(x, y, z), i};
                if (!f.stack) {
                    f.stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
                    if (f.stack == MAP_FAILED) die("no memory for a stack");
                }
            }
        }
    }
    for (unsigned z = 0; z < grid.z; z++) {
        for (unsigned y = 0; y < grid.y; y++) {
            for (unsigned x = 0; x < grid.x; x++) {
                m.index = dim3(x, y, z);
                std::fill(m.dynamic.begin(), m.dynamic.begin() + static_cast<ptrdiff_t>(shared_bytes ? shared_bytes + 128 : 0), 0xCD);
                run_block();
            }
        }
    }
}

}  // namespace emulated
