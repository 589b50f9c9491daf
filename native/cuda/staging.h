// Pinned memory between the host and the device. An upload returns once its bytes are copied here, before the device has them.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace so8t {

class Staging {
public:
    explicit Staging(cudaStream_t stream) : stream_(stream) {}
    ~Staging();
    void upload(void* device, const void* host, uint64_t bytes);
    // Waits for the bytes, and so for everything queued before them.
    void download(void* host, const void* device, uint64_t bytes);

private:
    static constexpr int kSegments = 4;
    static constexpr uint64_t kBytes = 8 << 20;
    struct Segment {
        char* memory = nullptr;
        cudaEvent_t done = nullptr;
        bool busy = false;
        uint64_t used = 0;
    };
    Segment& next();
    void wait(Segment& s);
    cudaStream_t stream_;
    Segment segments_[kSegments];
    int at_ = 0;
};

}  // namespace so8t
