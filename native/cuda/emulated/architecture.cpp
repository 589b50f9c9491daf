// What cards differ in: compute capability, shared memory, and which launches they refuse.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "cuda_runtime.h"

namespace emulated {

namespace {

// Table "Technical Specifications per Compute Capability" of the CUDA C++ Programming Guide. A block has 1 KiB less than its
// multiprocessor.
constexpr Architecture kArchitectures[] = {
    {"sm_80", 8, 0, 163 << 10}, {"sm_86", 8, 6, 99 << 10}, {"sm_89", 8, 9, 99 << 10}, {"sm_90", 9, 0, 227 << 10}, {"sm_120", 12, 0, 99 << 10},
};
constexpr size_t kWithoutAsking = 48 << 10;

struct Kernels {
    std::mutex mutex;
    std::map<const void*, size_t> allowed;  // dynamic shared memory, by the kernel's address
    std::set<std::string> launched;
};
Kernels& kernels() {
    static Kernels k;
    return k;
}

void note(const char* path, Kernels& all, const std::string& line) {
    if (!all.launched.insert(line).second) return;
    std::FILE* f = std::fopen(path, "a");
    if (!f || std::fputs(line.c_str(), f) < 0 || std::fclose(f) != 0) {
        std::fprintf(stderr, "emulated CUDA: SO8T_EMULATED_LAUNCHES=%s cannot be written\n", path);
        std::abort();
    }
}

}  // namespace

const Architecture& architecture() {
    const char* name = std::getenv("SO8T_EMULATED_ARCH");
    if (!name || !*name) return kArchitectures[0];
    for (const Architecture& a : kArchitectures) {
        if (std::strcmp(name, a.name) == 0) return a;
    }
    std::fprintf(stderr, "emulated CUDA: SO8T_EMULATED_ARCH=%s is not known\n", name);
    std::abort();
}

cudaError_t allow_shared(const void* kernel, int bytes) {
    if (bytes < 0 || static_cast<size_t>(bytes) > architecture().shared_limit) return cudaErrorInvalidValue;
    const std::lock_guard<std::mutex> lock(kernels().mutex);
    kernels().allowed[kernel] = static_cast<size_t>(bytes);
    return cudaSuccess;
}

cudaError_t refused(dim3 grid, dim3 block, size_t shared_bytes, const Kernel& kernel) {
    const uint64_t threads = uint64_t(block.x) * block.y * block.z;
    if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7FFFFFFF || grid.y > 65535 ||
        grid.z > 65535) {
        return cudaErrorInvalidConfiguration;
    }
    Kernels& all = kernels();
    const std::lock_guard<std::mutex> lock(all.mutex);
    const auto asked = all.allowed.find(kernel.address);
    const size_t allowed = asked == all.allowed.end() ? kWithoutAsking : std::max(asked->second, kWithoutAsking);
    if (shared_bytes > std::min(allowed, architecture().shared_limit)) return cudaErrorInvalidValue;
    if (const char* path = std::getenv("SO8T_EMULATED_LAUNCHES"); path && *path) {
        note(path, all, kernel.name + "\t" + std::to_string(threads) + "\t" + std::to_string(shared_bytes) + "\n");
    }
    return cudaSuccess;
}

}  // namespace emulated
