// A snapshot delays the operations by one copy within the device; the copy to the host runs beside them, on its own stream.
// Reference: TestSnapshot in native/snapshot_test.go.
#include <cstring>

#include "allocator.h"
#include "context.h"
#include "staging.h"

namespace so8t {

void snapshot_begin(Context& c, so8t_snapshot_begin_params& p) {
    p.snapshot = 0;
    const char* from = c.range({p.buffer, p.offset, p.bytes, &c});
    Context::Snapshot s{nullptr, p.bytes, 0, nullptr, nullptr};
    try {
        s.data = c.allocator->take(p.bytes, "snapshot", s.reserved);
    } catch (const Error& e) {
        if (e.code != SO8T_ERROR_OUT_OF_MEMORY) throw;
        s.data = nullptr;  // the copy goes to the host at once, and training waits for it
    }
    if (s.data) {
        check_cuda(cudaMemcpyAsync(s.data, from, p.bytes, cudaMemcpyDeviceToDevice, c.stream), "copy within the device");
        check_cuda(cudaEventCreateWithFlags(&s.done, cudaEventDisableTiming), "cudaEventCreate");
        check_cuda(cudaEventRecord(s.done, c.stream), "cudaEventRecord");
        c.hold("snapshot", p.bytes);
    } else {
        s.host.reset(new char[p.bytes]);
        c.staging->download(s.host.get(), from, p.bytes);
    }
    const std::lock_guard<std::mutex> lock(c.snapshots_mutex);
    p.snapshot = c.next_buffer++;
    c.snapshots.emplace(p.snapshot, std::move(s));
}

void snapshot_read(Context& c, so8t_snapshot_read_params& p) {
    const std::lock_guard<std::mutex> lock(c.snapshots_mutex);  // for the whole read: there is one reader
    auto it = c.snapshots.find(p.snapshot);
    if (it == c.snapshots.end()) fail("snapshot %llu does not exist", static_cast<unsigned long long>(p.snapshot));
    const Context::Snapshot& s = it->second;
    check_snapshot_range(p, s.bytes);
    if (s.host) {
        if (p.bytes) std::memcpy(p.host, s.host.get() + p.offset, p.bytes);
        return;
    }
    check_cuda(cudaSetDevice(c.device), "cudaSetDevice");
    check_cuda(cudaStreamWaitEvent(c.reading, s.done), "cudaStreamWaitEvent");
    c.reader->download(p.host, static_cast<char*>(s.data) + p.offset, p.bytes);
}

void snapshot_end(Context& c, const so8t_snapshot_end_params& p) {
    const std::lock_guard<std::mutex> lock(c.snapshots_mutex);
    auto it = c.snapshots.find(p.snapshot);
    if (it == c.snapshots.end()) fail("snapshot %llu does not exist", static_cast<unsigned long long>(p.snapshot));
    if (it->second.data) {
        c.allocator->give(it->second.data, it->second.reserved);
        cudaEventDestroy(it->second.done);
        c.drop("snapshot", it->second.bytes);
    }
    c.snapshots.erase(it);
}

}  // namespace so8t
