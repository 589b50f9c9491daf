// The runtime's functions: memory, streams that execute at once, and injected faults.
#include "cuda_runtime.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>

namespace {

struct Block {
    void* mapped;
    size_t mapped_bytes, bytes;
};
constexpr size_t kWhollyFilled = 16 << 20;  // with garbage; of larger blocks both ends are, as memory that nobody touches costs nothing
std::mutex memory_mutex;
std::map<void*, Block> blocks;
size_t allocated = 0;
std::atomic<uint64_t> frees{0};

size_t memory_bytes() {
    static const size_t total = [] {
        size_t n = size_t(16) << 30;
        if (const char* text = std::getenv("SO8T_EMULATED_MEMORY")) {
            char* end = nullptr;
            n = std::strtoull(text, &end, 10);
            n <<= *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
        }
        return n;
    }();
    return total;
}

int device_count() {
    const char* n = std::getenv("SO8T_EMULATED_DEVICES");
    return n ? std::atoi(n) : 1;
}

cudaError_t last_error = cudaSuccess;
cudaError_t sticky = cudaSuccess;  // a lost device: what every call returns until cudaDeviceReset
long long launches = 0;            // since the device was last reset, while a fault is to come

const char* injected() {
    const char* fault = std::getenv("SO8T_EMULATED_FAULT");
    return fault ? fault : "";
}

}  // namespace

namespace emulated {

bool fault(const char* name) { return std::strcmp(injected(), name) == 0; }

void launch_failed(cudaError_t e) { last_error = e; }

bool lost_at_this_launch() {
    long long nth = 0;
    if (std::sscanf(injected(), "lost@%lld", &nth) == 1 && ++launches >= nth) sticky = cudaErrorLaunchFailure;
    return sticky != cudaSuccess;
}

}  // namespace emulated

struct emulated_stream {
    double clock = 0;  // microseconds
    uint64_t operations = 0;
};
struct emulated_event {
    double at = 0;
};

namespace emulated {

void pass_time(cudaStream_t s, double microseconds) { s->clock += microseconds; }
void executed(cudaStream_t s, double microseconds) {
    pass_time(s, microseconds);
    s->operations++;
}
uint64_t operations(cudaStream_t s) { return s->operations + frees; }  // memory may be another's

}  // namespace emulated

namespace {

cudaError_t copied(cudaStream_t s, size_t bytes) {
    emulated::executed(s, 2 + 1e-5 * static_cast<double>(bytes));
    return sticky;
}

// A factor of 1 to 4 for each time that is asked for, if times are to be random.
double noise() {
    const char* seed = std::getenv("SO8T_EMULATED_TIMES");
    if (!seed || !*seed) return 1;
    static std::atomic<uint64_t> asked{0};
    uint64_t x = std::strtoull(seed, nullptr, 10) * 0x9E3779B97F4A7C15u + ++asked * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 31) * 0x94D049BB133111EBu;
    return 1 + 3 * static_cast<double>(x >> 40) / (1 << 24);
}

}  // namespace

const char* cudaGetErrorString(cudaError_t e) {
    switch (e) {
        case cudaSuccess: return "no error";
        case cudaErrorMemoryAllocation: return "out of memory";
        case cudaErrorInvalidConfiguration: return "invalid configuration argument";
        case cudaErrorNoDevice: return "no CUDA-capable device is detected";
        case cudaErrorInvalidDevice: return "invalid device ordinal";
        case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
        case cudaErrorLaunchFailure: return "unspecified launch failure";
        default: return "invalid argument";
    }
}
cudaError_t cudaGetLastError() {
    const cudaError_t e = last_error;
    last_error = cudaSuccess;
    return sticky != cudaSuccess ? sticky : e;
}
cudaError_t cudaDeviceSynchronize() { return sticky; }
cudaError_t cudaDeviceReset() {
    sticky = last_error = cudaSuccess;
    launches = 0;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* n) {
    if (emulated::fault("old_driver")) return cudaErrorInsufficientDriver;
    *n = device_count();
    return *n > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaDriverGetVersion(int* version) {
    *version = emulated::fault("old_driver") ? CUDART_VERSION - 1000 : CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device >= 0 && device < device_count() ? cudaSuccess : cudaErrorInvalidDevice; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
    *p = {};
    std::snprintf(p->name, sizeof p->name, "emulated");
    p->major = emulated::architecture().major;
    p->minor = emulated::architecture().minor;
    p->multiProcessorCount = 4;
    p->totalGlobalMem = memory_bytes();
    p->sharedMemPerBlockOptin = emulated::architecture().shared_limit;
    return sticky;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
    const std::lock_guard<std::mutex> lock(memory_mutex);
    *total = memory_bytes();
    *free = *total - allocated;
    return sticky;
}
cudaError_t cudaMalloc(void** p, size_t bytes) {
    const std::lock_guard<std::mutex> lock(memory_mutex);
    if (sticky != cudaSuccess) return sticky;
    if (emulated::fault("out_of_memory") || bytes > memory_bytes() || allocated > memory_bytes() - bytes) {
        return last_error = cudaErrorMemoryAllocation;
    }
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), body = (bytes + page - 1) / page * page;
    char* m = static_cast<char*>(mmap(nullptr, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (m == MAP_FAILED) return last_error = cudaErrorMemoryAllocation;
    mprotect(m + body, page, PROT_NONE);
    char* start = m + body - (bytes + 63) / 64 * 64;
    if (body <= kWhollyFilled) {
        std::memset(m, 0xCD, body);
    } else {
        std::memset(start, 0xCD, kWhollyFilled / 16);
        std::memset(m + body - kWhollyFilled / 16, 0xCD, kWhollyFilled / 16);
    }
    blocks[start] = {m, body + page, bytes};
    allocated += bytes;
    *p = start;
    return cudaSuccess;
}
cudaError_t cudaFree(void* p) {
    if (!p) return cudaSuccess;
    if (emulated::fault("capturing")) return last_error = cudaErrorStreamCaptureUnsupported;
    const std::lock_guard<std::mutex> lock(memory_mutex);
    auto it = blocks.find(p);
    if (it == blocks.end()) return cudaErrorInvalidValue;
    frees++;
    munmap(it->second.mapped, it->second.mapped_bytes);
    allocated -= it->second.bytes;
    blocks.erase(it);
    return cudaSuccess;
}
cudaError_t cudaMallocHost(void** p, size_t bytes) {
    *p = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!*p) return last_error = cudaErrorMemoryAllocation;
    return sticky;
}
cudaError_t cudaFreeHost(void* p) {
    std::free(p);
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t n, cudaMemcpyKind, cudaStream_t s) {
    std::memcpy(to, from, n);
    return copied(s, n);
}
cudaError_t cudaMemsetAsync(void* p, int value, size_t n, cudaStream_t s) {
    std::memset(p, value, n);
    return copied(s, n);
}
cudaError_t cudaMemset2DAsync(void* p, size_t pitch, int value, size_t width, size_t height, cudaStream_t s) {
    for (size_t i = 0; i < height; i++) std::memset(static_cast<char*>(p) + i * pitch, value, width);
    return copied(s, width * height);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind, cudaStream_t s) {
    for (size_t i = 0; i < height; i++) std::memcpy(static_cast<char*>(to) + i * to_pitch, static_cast<const char*>(from) + i * from_pitch, width);
    return copied(s, width * height);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) {
    *s = new emulated_stream;
    return sticky;
}
cudaError_t cudaStreamDestroy(cudaStream_t s) {
    delete s;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return sticky; }
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned) {
    s->clock = std::max(s->clock, e->at);
    return sticky;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
    *e = new emulated_event;
    return sticky;
}
cudaError_t cudaEventDestroy(cudaEvent_t e) {
    delete e;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
    e->at = s->clock;
    return sticky;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return sticky; }
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
    *ms = static_cast<float>((to->at - from->at) / 1e3 * noise());
    return cudaSuccess;
}
