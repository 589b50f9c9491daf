#include "staging.h"

#include <algorithm>
#include <cstring>

#include "context.h"

namespace so8t {

Staging::~Staging() {
    for (Segment& s : segments_) {
        if (s.done) cudaEventDestroy(s.done);
        if (s.memory) cudaFreeHost(s.memory);
    }
}

void Staging::wait(Segment& s) {
    if (s.busy) check_cuda(cudaEventSynchronize(s.done), "wait for a copy");
    s.busy = false;
    s.used = 0;
}

// A segment without a copy under way.
Staging::Segment& Staging::next() {
    at_ = (at_ + 1) % kSegments;
    Segment& s = segments_[at_];
    if (!s.memory) {
        check_cuda(cudaEventCreateWithFlags(&s.done, cudaEventDisableTiming), "cudaEventCreate");
        check_cuda(cudaMallocHost(reinterpret_cast<void**>(&s.memory), kBytes), "cudaMallocHost");
    }
    wait(s);
    return s;
}

void Staging::upload(void* device, const void* host, uint64_t bytes) {
    for (uint64_t at = 0; at < bytes;) {
        Segment* s = &segments_[at_];
        // A batch's small vectors share a segment, one behind another.
        if (!s->memory || s->used + std::min(bytes - at, kBytes) > kBytes) s = &next();
        const uint64_t n = std::min(bytes - at, kBytes - s->used);
        std::memcpy(s->memory + s->used, static_cast<const char*>(host) + at, n);
        check_cuda(cudaMemcpyAsync(static_cast<char*>(device) + at, s->memory + s->used, n, cudaMemcpyDefault, stream_), "copy to the device");
        check_cuda(cudaEventRecord(s->done, stream_), "cudaEventRecord");
        s->busy = true;
        s->used = std::min((s->used + n + 63) / 64 * 64, kBytes);
        at += n;
    }
}

void Staging::download(void* host, const void* device, uint64_t bytes) {
    struct Part {
        Segment* segment = nullptr;
        uint64_t at = 0, bytes = 0;
    } under_way;
    const auto land = [&](const Part& p) {
        if (!p.segment) return;
        wait(*p.segment);
        std::memcpy(static_cast<char*>(host) + p.at, p.segment->memory, p.bytes);
    };
    // The host copies one segment out while the device fills the next.
    for (uint64_t at = 0; at < bytes;) {
        const Part p{&next(), at, std::min(bytes - at, kBytes)};
        check_cuda(cudaMemcpyAsync(p.segment->memory, static_cast<const char*>(device) + at, p.bytes, cudaMemcpyDefault, stream_), "copy to the host");
        check_cuda(cudaEventRecord(p.segment->done, stream_), "cudaEventRecord");
        p.segment->busy = true;
        p.segment->used = kBytes;
        at += p.bytes;
        land(under_way);
        under_way = p;
    }
    land(under_way);
}

}  // namespace so8t
