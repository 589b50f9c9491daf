#include "context.h"

#include <cpuid.h>
#include <dnnl.hpp>
#include <sched.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "table.h"

namespace so8t {

namespace avx2 {
extern const OpTable table;
}
namespace avx512 {
extern const OpTable table;
}
namespace avx512_bf16 {
extern const OpTable table;
}

namespace {

constexpr uint64_t kMapFrom = 1u << 20;  // larger buffers are mapped: zeroed lazily, in huge pages

std::string cpu_name() {
    std::string name = "x86-64";
    if (FILE* f = std::fopen("/proc/cpuinfo", "r")) {
        char line[512];
        while (std::fgets(line, sizeof line, f)) {
            if (std::strncmp(line, "model name", 10) != 0) continue;
            if (const char* colon = std::strchr(line, ':')) {
                name = colon + 1;
                name.erase(0, name.find_first_not_of(" \t"));
                name.erase(name.find_last_not_of(" \n") + 1);
            }
            break;
        }
        std::fclose(f);
    }
    return name;
}

// What the kernel estimates can be allocated without swapping.
uint64_t available_bytes() {
    unsigned long long kilobytes = 0;
    if (FILE* f = std::fopen("/proc/meminfo", "r")) {
        char line[128];
        while (std::fgets(line, sizeof line, f)) {
            if (std::sscanf(line, "MemAvailable: %llu", &kilobytes) == 1) break;
        }
        std::fclose(f);
    }
    return kilobytes << 10;
}

bool has_amx_bf16() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & (1u << 22)) && (d & (1u << 24));
}

// Zeroed memory.
Buffer reserve(const Context& c, uint64_t bytes, const std::string& purpose, bool on_host) {
    const auto refuse = [&] {
        out_of_memory("%llu bytes for \"%s\": out of memory, %llu bytes held, machine has %llu", static_cast<unsigned long long>(bytes), purpose.c_str(),
                      static_cast<unsigned long long>(c.held), static_cast<unsigned long long>(c.memory));
    };
    // Linux overcommits memory and kills the process later: refuse here what cannot fit.
    if (c.memory && (bytes > c.memory || c.held > c.memory - bytes)) refuse();
    Buffer b{nullptr, bytes, 0, purpose, on_host};
    if (bytes >= kMapFrom) {
        b.reserved = (bytes + 4095) & ~uint64_t(4095);
        b.data = mmap(nullptr, b.reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (b.data == MAP_FAILED) refuse();
        madvise(b.data, b.reserved, MADV_HUGEPAGE);
    } else {
        const uint64_t size = (bytes + 127) & ~uint64_t(63);
        b.data = std::aligned_alloc(64, size);
        if (!b.data) refuse();
        std::memset(b.data, 0, size);
    }
    return b;
}

void release(const Buffer& b) {
    if (b.reserved) {
        munmap(b.data, b.reserved);
    } else {
        std::free(b.data);
    }
}

}  // namespace

void* Context::shared_bytes(uint64_t bytes) {
    if (bytes > shared_size_) {
        std::free(shared_);
        shared_size_ = 0;
        shared_ = std::aligned_alloc(64, (bytes + 63) & ~uint64_t(63));
        if (!shared_) throw std::bad_alloc();
        shared_size_ = bytes;
    }
    return shared_;
}

Context::~Context() {
    std::free(shared_);
    for (auto& entry : buffers) release(entry.second);
    for (auto& entry : snapshots) release(entry.second);
}

int device_count() { return 1; }

void open_context(Context& c, const so8t_open_params& p) {
    if (p.threads < 0 || p.threads > 1024) fail("threads is %lld", static_cast<long long>(p.threads));
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) {
        no_device("this CPU (%s) has no AVX2", cpu_name().c_str());
    }
    const bool has512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
    int level = !has512 ? 0 : __builtin_cpu_supports("avx512bf16") ? 2 : 1;
    static const char* const names[] = {"avx2", "avx512", "avx512_bf16"};
    if (const char* limit = std::getenv("SO8T_CPU_ISA"); limit && *limit) {
        int wanted = -1;
        for (int i = 0; i < 3; i++) {
            if (std::strcmp(limit, names[i]) == 0) wanted = i;
        }
        if (wanted < 0) fail("SO8T_CPU_ISA is \"%s\", not avx2, avx512 or avx512_bf16", limit);
        if (wanted < level) level = wanted;
        // Only a process's first context can limit oneDNN; the kernels of later contexts still obey their own limit.
        const dnnl::cpu_isa isas[] = {dnnl::cpu_isa::avx2, dnnl::cpu_isa::avx512_core, dnnl::cpu_isa::avx512_core_bf16};
        dnnl::set_max_cpu_isa(isas[level]);
    }
    c.isa = names[level];
    c.native_bf16 = level == 2;
    c.ops = level == 2 ? &avx512_bf16::table : level == 1 ? &avx512::table : &avx2::table;

    struct sysinfo s;
    if (sysinfo(&s) == 0) c.memory = static_cast<uint64_t>(s.totalram) * s.mem_unit;
    int threads = static_cast<int>(p.threads);
    if (threads == 0) {
        cpu_set_t set;
        threads = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    }
    // AMX, which oneDNN uses, multiplies bfloat16 several times faster than AVX512_BF16.
    const char* products = std::getenv("SO8T_CPU_BF16");
    const bool onednn = (products && std::strcmp(products, "onednn") == 0) || has_amx_bf16();
    c.packs = c.native_bf16 && !onednn;
    c.pool.reset(new Pool(threads, c.native_bf16, c.packs));
}

void device_info(Context& c, so8t_device_info_params& p) {
    std::memset(&p, 0, sizeof p);
    std::snprintf(p.name, sizeof p.name, "%s", cpu_name().c_str());
    std::snprintf(p.isa, sizeof p.isa, "%s", c.isa.c_str());
    p.threads = c.pool->threads();
    p.memory_bytes = c.memory;
    p.free_bytes = available_bytes();
    p.held_bytes = c.held;
    p.peak_bytes = c.peak;
}

void alloc_buffer(Context& c, so8t_alloc_params& p) {
    p.buffer = 0;
    const Buffer b = reserve(c, p.bytes, std::string(p.purpose, strnlen(p.purpose, sizeof p.purpose)), p.on_host != 0);
    try {
        p.buffer = c.enter(b);
    } catch (...) {
        release(b);
        throw;
    }
}

void free_buffer(Context& c, const so8t_free_params& p) {
    release(c.find(p.buffer));
    c.leave(p.buffer);
}

void upload(Context& c, const so8t_transfer_params& p) {
    char* d = c.range(p);
    if (p.bytes) std::memcpy(d, p.host, p.bytes);
}

void download(Context& c, const so8t_transfer_params& p) {
    const char* d = c.range(p);
    if (p.bytes) std::memcpy(p.host, d, p.bytes);
}

void synchronize(Context&) {}

void replay(Context& c, Recording& r) { run_calls(c, r); }

// All threads copy: training waits for it.
void snapshot_begin(Context& c, so8t_snapshot_begin_params& p) {
    p.snapshot = 0;
    const char* from = c.range({p.buffer, p.offset, p.bytes, &c});
    const Buffer s = reserve(c, p.bytes, "snapshot", false);
    constexpr int64_t part = 4 << 20;
    const int64_t bytes = static_cast<int64_t>(p.bytes);
    c.parallel((bytes + part - 1) / part, [&](int64_t i, Worker&) {
        std::memcpy(static_cast<char*>(s.data) + i * part, from + i * part, static_cast<size_t>(bytes - i * part < part ? bytes - i * part : part));
    });
    const std::lock_guard<std::mutex> lock(c.snapshots_mutex);
    p.snapshot = c.next_buffer++;
    c.snapshots.emplace(p.snapshot, s);
    c.hold(s.purpose, s.bytes);
}

namespace {

// With snapshots_mutex held.
const Buffer& snapshot_of(const Context& c, uint64_t handle) {
    auto it = c.snapshots.find(handle);
    if (it == c.snapshots.end()) fail("snapshot %llu does not exist", static_cast<unsigned long long>(handle));
    return it->second;
}

}  // namespace

void snapshot_read(Context& c, so8t_snapshot_read_params& p) {
    const char* data;
    {
        const std::lock_guard<std::mutex> lock(c.snapshots_mutex);
        const Buffer& s = snapshot_of(c, p.snapshot);
        check_snapshot_range(p, s.bytes);
        data = static_cast<const char*>(s.data) + p.offset;
    }
    if (p.bytes) std::memcpy(p.host, data, p.bytes);
}

void snapshot_end(Context& c, const so8t_snapshot_end_params& p) {
    const std::lock_guard<std::mutex> lock(c.snapshots_mutex);
    const Buffer& s = snapshot_of(c, p.snapshot);
    release(s);
    c.drop(s.purpose, s.bytes);
    c.snapshots.erase(p.snapshot);
}

}  // namespace so8t
