// What every operation works with: one stream of one GPU, memory, and errors that only the device can find.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "border.h"
#include "buffers.h"
#include "recordings.h"

namespace so8t {

struct OpTable;

constexpr int64_t kMostHeadDim = 256;  // what attention's tiles hold

class Allocator;
class Staging;
class Products;
class CudnnAttention;
class Profile;

// What a check found wrong in device memory; a stream's first finding stays until it is reported.
struct Finding {
    int32_t found;  // 0: nothing
    int32_t check;  // index of Context::checks
    int64_t index;  // of the offending element
    int32_t value, before;
};

// A queued check, for the error's text.
struct Check {
    enum Kind { range, ascending, boundaries, longest, code_book } kind;
    const char* operation;
    const char* name;
    int64_t least, limit;  // of boundaries: the last index and its value; of longest: the greatest distance
    bool operator==(const Check& o) const { return kind == o.kind && operation == o.operation && name == o.name && least == o.least && limit == o.limit; }
};

struct Context : Buffers {
    std::string error;
    bool broken = false;  // open failed: only last_error and close work
    const OpTable* ops = nullptr;
    std::string name, isa;
    int device = 0;
    bool counted = false;     // among the open contexts
    int processors = 0;       // streaming multiprocessors
    int capability = 0;       // 10 major + minor
    size_t shared_limit = 0;  // bytes of shared memory that a block may ask for
    cudaStream_t stream = nullptr;
    std::unique_ptr<Allocator> allocator;
    std::unique_ptr<Staging> staging;
    std::unique_ptr<Products> products;
    std::unique_ptr<CudnnAttention> cudnn;
    std::unique_ptr<Profile> profile;  // if SO8T_CUDA_PROFILE is set

    Recordings recordings;
    std::vector<Check> checks;         // all that were ever queued: a replay refers to them by number
    Finding* finding = nullptr;        // pinned: the device writes it, the host reads it after a synchronization
    std::vector<std::string> checked;  // checks that need not be queued again until int32 memory may have changed

    // Copies of memory for other threads to read, each behind an event; in host memory if the device has none left.
    struct Snapshot {
        void* data;
        uint64_t bytes, reserved;
        cudaEvent_t done;
        std::unique_ptr<char[]> host;
    };
    std::unordered_map<uint64_t, Snapshot> snapshots;
    std::mutex snapshots_mutex;
    cudaStream_t reading = nullptr;  // for copies to the host beside the operations
    std::unique_ptr<Staging> reader;

    Context();
    ~Context();
    void release();
    // Around each call: makes the context's device current on the calling thread, and times the call for a profile.
    void begin(const char* operation);
    void end();

private:
    friend class Scratch;
    struct Block {
        char* data;
        size_t bytes;
    };
    std::vector<Block> scratch_;  // memory is taken from the last one
    size_t scratch_used_ = 0, scratch_wanted_ = 0;
    int scratch_depth_ = 0;

public:
    uint64_t moves = 0;  // how often memory was moved or freed, which makes recorded addresses stale
};

// Device memory until the end of the operation that takes it: all work is on one stream, so the next operation may reuse it.
class Scratch {
public:
    explicit Scratch(Context& c) : c_(c), blocks_(c.scratch_.size()), used_(c.scratch_used_) { c.scratch_depth_++; }
    ~Scratch();
    Scratch(const Scratch&) = delete;
    // 256-byte aligned, uninitialized.
    template <class T>
    T* take(int64_t n) {
        return static_cast<T*>(take_bytes(static_cast<uint64_t>(n) * sizeof(T)));
    }

private:
    void* take_bytes(uint64_t bytes);
    Context& c_;
    size_t blocks_, used_;
};

// Throws what a runtime call returned: out of memory, no device, or a device that failed, with what to do about it.
void check_cuda(cudaError_t e, const char* what);
// Called after every launch: throws if the launch itself was refused.
void launched(const char* kernel);

// An operation wrote int32 values: every vector must be checked again.
void integers_changed(Context& c);
// After a synchronization: throws what the checks found.
void report_finding(Context& c);

}  // namespace so8t

struct so8t_ctx : so8t::Context {};
