#include "context.h"

#include <cpuid.h>
#include <dnnl.hpp>
#include <sched.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "table.h"

namespace so8t {

namespace {

constexpr int64_t kLargest = int64_t(1) << 40;
constexpr uint64_t kMapFrom = 1u << 20;  // larger buffers are mapped: zeroed lazily, in huge pages

int64_t dtype_bytes(int32_t dtype) {
    switch (dtype) {
        case SO8T_FLOAT32:
        case SO8T_INT32: return 4;
        case SO8T_BFLOAT16:
        case SO8T_FLOAT16: return 2;
        case SO8T_INT8:
        case SO8T_UINT8: return 1;
    }
    return 0;
}

std::string dtype_names(unsigned set) {
    std::string s;
    for (int32_t d = SO8T_FLOAT32; d <= SO8T_FLOAT16; d++) {
        if (!(set & only(d))) continue;
        if (!s.empty()) s += " or ";
        s += dtype_name(d);
    }
    return s;
}

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

bool has_amx_bf16() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & (1u << 22)) && (d & (1u << 24));
}

void release(const Buffer& b) {
    if (b.mapped) {
        munmap(b.data, b.mapped);
    } else {
        std::free(b.data);
    }
}

const Buffer& buffer_of(Context& c, uint64_t handle, const char* name) {
    auto it = c.buffers.find(handle);
    if (it == c.buffers.end()) fail("%s%sbuffer %llu does not exist", name, *name ? ": " : "", static_cast<unsigned long long>(handle));
    return it->second;
}

// The part of a buffer that t names, [rows, columns] as text in errors.
View checked(Context& c, const so8t_tensor& t, const char* name, int64_t rows, int64_t columns, int64_t stride, unsigned dtypes, const char* shape) {
    if (t.buffer == 0) fail("%s %s is absent", name, shape);
    if (!(only(t.dtype) & dtypes)) fail("%s %s has dtype %s, wanted %s", name, shape, dtype_name(t.dtype), dtype_names(dtypes).c_str());
    const Buffer& b = buffer_of(c, t.buffer, name);
    const int64_t size = dtype_bytes(t.dtype);
    if (rows > 1 && stride < columns) fail("%s %s has stride %lld", name, shape, static_cast<long long>(stride));
    if (t.offset % size != 0) fail("%s %s: offset %llu is no multiple of %s's size", name, shape, static_cast<unsigned long long>(t.offset), dtype_name(t.dtype));
    // 128 bits: a stride from the caller times a row number may pass 64.
    __int128 extent = rows == 0 || columns == 0 ? 0 : ((__int128)(rows - 1) * stride + columns) * size;
    if ((__int128)t.offset + extent > (__int128)b.bytes) {
        fail("%s %s %s needs %llu bytes at offset %llu, buffer %llu \"%s\" has %llu", name, shape, dtype_name(t.dtype), static_cast<unsigned long long>(extent),
             static_cast<unsigned long long>(t.offset), static_cast<unsigned long long>(t.buffer), b.purpose.c_str(), static_cast<unsigned long long>(b.bytes));
    }
    View v;
    v.data = static_cast<char*>(b.data) + t.offset;
    v.stride = stride;
    v.dtype = t.dtype;
    return v;
}

char* transfer_range(Context& c, const so8t_transfer_params& p) {
    const Buffer& b = buffer_of(c, p.buffer, "");
    if (p.offset > b.bytes || p.bytes > b.bytes - p.offset) {
        fail("%llu bytes at offset %llu, buffer %llu \"%s\" has %llu", static_cast<unsigned long long>(p.bytes), static_cast<unsigned long long>(p.offset),
             static_cast<unsigned long long>(p.buffer), b.purpose.c_str(), static_cast<unsigned long long>(b.bytes));
    }
    if (p.bytes > 0 && !p.host) fail("no host memory");
    return static_cast<char*>(b.data) + p.offset;
}

}  // namespace

void fail(const char* format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    std::vsnprintf(text, sizeof text, format, args);
    va_end(args);
    throw Error{text};
}

const char* dtype_name(int32_t dtype) {
    static const char* const names[] = {"none", "float32", "bfloat16", "int8", "int32", "uint8", "float16"};
    return dtype >= 0 && dtype <= SO8T_FLOAT16 ? names[dtype] : "unknown";
}

void check_size(const char* name, int64_t value, int64_t least) {
    if (value < least || value > kLargest) fail("%s is %lld", name, static_cast<long long>(value));
}

void check_range(const View& v, const char* name, int64_t n, int64_t least, int64_t limit) {
    const int32_t* p = v.as<int32_t>();
    for (int64_t i = 0; i < n; i++) {
        if (p[i] < least || p[i] >= limit) {
            fail("%s[%lld] is %d, not in [%lld, %lld)", name, static_cast<long long>(i), p[i], static_cast<long long>(least), static_cast<long long>(limit));
        }
    }
}

View Context::matrix(const so8t_tensor& t, const char* name, int64_t rows, int64_t columns, unsigned dtypes) {
    char shape[64];
    std::snprintf(shape, sizeof shape, "[%lld, %lld]", static_cast<long long>(rows), static_cast<long long>(columns));
    return checked(*this, t, name, rows, columns, t.stride, dtypes, shape);
}

View Context::vector(const so8t_tensor& t, const char* name, int64_t n, unsigned dtypes) {
    char shape[32];
    std::snprintf(shape, sizeof shape, "[%lld]", static_cast<long long>(n));
    return checked(*this, t, name, 1, n, n, dtypes, shape);
}

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
}

void open_context(Context& c, const so8t_open_params& p) {
    if (p.threads < 0 || p.threads > 1024) fail("threads is %lld", static_cast<long long>(p.threads));
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) fail("this CPU (%s) has no AVX2", cpu_name().c_str());
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
        // Only the first context of a process can limit oneDNN; later ones keep that limit, and their own kernels' one.
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
    // AMX multiplies bfloat16 several times faster than AVX512_BF16, and oneDNN knows how.
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
    p.held_bytes = c.held;
    p.peak_bytes = c.peak;
}

void alloc_buffer(Context& c, so8t_alloc_params& p) {
    p.buffer = 0;
    const std::string purpose(p.purpose, strnlen(p.purpose, sizeof p.purpose));
    auto refuse = [&] {
        fail("%llu bytes for \"%s\": out of memory, %llu bytes held, machine has %llu", static_cast<unsigned long long>(p.bytes), purpose.c_str(),
             static_cast<unsigned long long>(c.held), static_cast<unsigned long long>(c.memory));
    };
    // Linux promises memory that does not exist and kills the process later: refuse here what cannot fit.
    if (c.memory && (p.bytes > c.memory || c.held > c.memory - p.bytes)) refuse();
    Buffer b{nullptr, p.bytes, 0, purpose};
    if (p.bytes >= kMapFrom) {
        b.mapped = (p.bytes + 4095) & ~uint64_t(4095);
        b.data = mmap(nullptr, b.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (b.data == MAP_FAILED) refuse();
        madvise(b.data, b.mapped, MADV_HUGEPAGE);
    } else {
        const uint64_t size = (p.bytes + 127) & ~uint64_t(63);
        b.data = std::aligned_alloc(64, size);
        if (!b.data) refuse();
        std::memset(b.data, 0, size);
    }
    try {
        c.buffers.emplace(c.next_buffer, b);
    } catch (...) {
        release(b);
        throw;
    }
    p.buffer = c.next_buffer++;
    c.held += p.bytes;
    if (c.held > c.peak) c.peak = c.held;
}

void free_buffer(Context& c, const so8t_free_params& p) {
    const Buffer& b = buffer_of(c, p.buffer, "");
    release(b);
    c.held -= b.bytes;
    c.buffers.erase(p.buffer);
}

void upload(Context& c, const so8t_transfer_params& p) {
    char* d = transfer_range(c, p);
    if (p.bytes) std::memcpy(d, p.host, p.bytes);
}

void download(Context& c, const so8t_transfer_params& p) {
    const char* d = transfer_range(c, p);
    if (p.bytes) std::memcpy(p.host, d, p.bytes);
}

}  // namespace so8t
