// Opens and closes a context, its memory, and transfers.
// Reference: TestMemory in native/device_test.go.
#include "context.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "allocator.h"
#include "cublaslt.h"
#include "cudnn_attention.h"
#include "products.h"
#include "profile.h"
#include "staging.h"
#include "table.h"

namespace so8t {

namespace cuda {
extern const OpTable table;
}

namespace {

// Which CUDA the driver supports, and which this library was built with.
[[noreturn]] void old_driver() {
    int driver = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver <= 0) no_device("there is no NVIDIA driver");
    device_failed("the NVIDIA driver supports CUDA %d.%d, this library needs %d.%d: update the driver", driver / 1000, driver % 1000 / 10,
                  CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
}

}  // namespace

void check_cuda(cudaError_t e, const char* what) {
    const auto text = [&] { return std::string("CUDA: ") + what + ": " + cudaGetErrorString(e) + " (error " + std::to_string(static_cast<int>(e)) + ")"; };
    if (e == cudaSuccess) return;
    cudaGetLastError();  // the next launch must not be blamed
    switch (e) {
        case cudaErrorMemoryAllocation: out_of_memory("%s", text().c_str());
        case cudaErrorNoDevice: no_device("there is no NVIDIA GPU (%s)", text().c_str());
        case cudaErrorInsufficientDriver: old_driver();
        default: break;
    }
    // Most of these are sticky: every later call of the process fails too, until release() has reset the device.
    device_failed("%s: a new context may do; if not, restart the worker, or the machine", text().c_str());
}

void launched(const char* kernel) { check_cuda(cudaGetLastError(), kernel); }

namespace {

void release_buffer(Context& c, const Buffer& b) {
    if (b.on_host) {
        cudaStreamSynchronize(c.stream);  // device memory is reused behind the stream's operations; this goes back to the system
        cudaFreeHost(b.data);
    } else {
        c.allocator->give(b.data, b.reserved);
    }
}

}  // namespace

namespace {
std::atomic<int> open_contexts{0};  // on any device of this process
}

Context::Context() = default;
Context::~Context() { release(); }

void Context::release() {
    if (counted) cudaSetDevice(device);
    if (stream) cudaStreamSynchronize(stream);
    recordings.all.clear();
    if (reading) cudaStreamSynchronize(reading);
    profile.reset();
    cudnn.reset();
    products.reset();
    staging.reset();
    reader.reset();
    if (reading) cudaStreamDestroy(reading);
    reading = nullptr;
    if (allocator) {
        for (auto& b : buffers) release_buffer(*this, b.second);
        for (auto& s : snapshots) {
            if (s.second.data) allocator->give(s.second.data, s.second.reserved);
            if (s.second.done) cudaEventDestroy(s.second.done);
        }
        for (Block& b : scratch_) allocator->give(b.data, b.bytes);
    }
    allocator.reset();
    if (finding) cudaFreeHost(finding);
    if (stream) cudaStreamDestroy(stream);
    finding = nullptr;
    stream = nullptr;
    if (counted && --open_contexts == 0 && cudaDeviceSynchronize() != cudaSuccess) {
        // The failure stays with the process's state on the device: the next open_context begins with a new one.
        cudaDeviceReset();
        cudaGetLastError();
    }
    counted = false;
}

// The first operations may need several blocks; at their end these are freed, and the next block is as large as all of them.
Scratch::~Scratch() {
    std::vector<Context::Block>& blocks = c_.scratch_;
    c_.scratch_used_ = blocks.size() == blocks_ ? used_ : 0;
    if (--c_.scratch_depth_ > 0 || blocks.size() < 2) return;
    c_.scratch_wanted_ = 0;
    for (const Context::Block& b : blocks) {
        c_.scratch_wanted_ += b.bytes;
        c_.drop("workspace", b.bytes);
        if (cudaFree(b.data) == cudaSuccess) continue;  // it waits for the operation
        cudaGetLastError();                             // a capture forbids it
        c_.allocator->give(b.data, b.bytes);
    }
    blocks.clear();
    c_.scratch_used_ = 0;
    c_.moves++;
}

void* Scratch::take_bytes(uint64_t bytes) {
    constexpr uint64_t kLeast = 4 << 20;
    bytes = (bytes + 255) / 256 * 256;
    if (c_.scratch_.empty() || c_.scratch_.back().bytes - c_.scratch_used_ < bytes) {
        uint64_t size = bytes > kLeast ? bytes : kLeast;
        if (c_.scratch_.empty() && c_.scratch_wanted_ > size) size = c_.scratch_wanted_;
        uint64_t reserved = 0;
        void* p = c_.allocator->take(size, "workspace", reserved);
        c_.scratch_.push_back({static_cast<char*>(p), reserved});
        c_.scratch_used_ = 0;
        c_.moves++;
        c_.hold("workspace", reserved);
    }
    void* p = c_.scratch_.back().data + c_.scratch_used_;
    c_.scratch_used_ += bytes;
    return p;
}

void Context::begin(const char* name) {
    operation = name;
    if (stream) cudaSetDevice(device);
    if (profile) profile->begin(name);
}

void Context::end() {
    if (profile) profile->end();
}

int device_count() {
    int devices = 0;
    const cudaError_t e = cudaGetDeviceCount(&devices);
    if (e == cudaErrorInsufficientDriver) old_driver();
    if (e != cudaErrorNoDevice) check_cuda(e, "cudaGetDeviceCount");
    return devices;
}

void open_context(Context& c, const so8t_open_params& p) {
    const int devices = device_count();
    if (devices == 0) no_device("there is no NVIDIA GPU");
    if (p.device < 0 || p.device >= devices) no_device("there is no cuda:%lld, but %d of them", static_cast<long long>(p.device), devices);
    c.device = static_cast<int>(p.device);
    open_contexts++;
    c.counted = true;
    check_cuda(cudaSetDevice(c.device), "cudaSetDevice");
    cudaDeviceProp properties;
    check_cuda(cudaGetDeviceProperties(&properties, c.device), "cudaGetDeviceProperties");
    c.name = properties.name;
    c.capability = 10 * properties.major + properties.minor;
    c.isa = "sm_" + std::to_string(c.capability);
    if (c.capability < 80) device_failed("%s has compute capability %d.%d, 8.0 or newer is needed", c.name.c_str(), properties.major, properties.minor);
    c.processors = properties.multiProcessorCount;
    c.shared_limit = properties.sharedMemPerBlockOptin;
    c.memory = properties.totalGlobalMem;
    c.ops = &cuda::table;
    cublaslt::require();  // a missing library is reported here and not in the first step
    check_cuda(cudaStreamCreateWithFlags(&c.stream, cudaStreamNonBlocking), "cudaStreamCreate");
    check_cuda(cudaMallocHost(reinterpret_cast<void**>(&c.finding), sizeof *c.finding), "cudaMallocHost");
    *c.finding = {};
    c.allocator.reset(new Allocator(c));
    c.staging.reset(new Staging(c.stream));
    check_cuda(cudaStreamCreateWithFlags(&c.reading, cudaStreamNonBlocking), "cudaStreamCreate");
    c.reader.reset(new Staging(c.reading));
    const std::string algorithms(p.algorithms, strnlen(p.algorithms, sizeof p.algorithms));
    c.products.reset(new Products(c, algorithms.c_str()));
    c.cudnn.reset(new CudnnAttention(c, algorithms));
    if (const char* path = std::getenv("SO8T_CUDA_PROFILE"); path && *path) c.profile.reset(new Profile(c.stream, path));
}

void device_info(Context& c, so8t_device_info_params& p) {
    std::memset(&p, 0, sizeof p);
    std::snprintf(p.name, sizeof p.name, "%s", c.name.c_str());
    std::snprintf(p.isa, sizeof p.isa, "%s", c.isa.c_str());
    p.memory_bytes = c.memory;
    size_t free = 0, total = 0;
    check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    p.free_bytes = free;
    p.held_bytes = c.held;
    p.peak_bytes = c.peak;
}

void alloc_buffer(Context& c, so8t_alloc_params& p) {
    p.buffer = 0;
    Buffer b{nullptr, p.bytes, 0, std::string(p.purpose, strnlen(p.purpose, sizeof p.purpose)), p.on_host != 0};
    if (b.on_host) {
        check_cuda(cudaMallocHost(&b.data, p.bytes > 0 ? p.bytes : 1), "cudaMallocHost");
        std::memset(b.data, 0, p.bytes);
    } else {
        b.data = c.allocator->take(p.bytes, b.purpose, b.reserved);
    }
    try {
        if (!b.on_host) check_cuda(cudaMemsetAsync(b.data, 0, p.bytes, c.stream), "cudaMemset");
        p.buffer = c.enter(b);
    } catch (...) {
        release_buffer(c, b);
        throw;
    }
    integers_changed(c);
}

void free_buffer(Context& c, const so8t_free_params& p) {
    const Buffer& b = c.find(p.buffer);
    release_buffer(c, b);
    c.leave(p.buffer);
    c.moves++;
}

void upload(Context& c, const so8t_transfer_params& p) {
    c.staging->upload(c.range(p), p.host, p.bytes);
    integers_changed(c);
}

void download(Context& c, const so8t_transfer_params& p) {
    c.staging->download(p.host, c.range(p), p.bytes);
    report_finding(c);
}

void synchronize(Context& c) {
    check_cuda(cudaStreamSynchronize(c.stream), "cudaStreamSynchronize");
    report_finding(c);
}

}  // namespace so8t
