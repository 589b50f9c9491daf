// What every operation works with: buffers behind handles, checked views of them, threads, the error text.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "border.h"
#include "buffers.h"
#include "pool.h"
#include "recordings.h"

namespace so8t {

struct OpTable;

constexpr int64_t kMostHeadDim = 65536;  // attention's scratch is a few rows of this length; no other limit

// A dynamic code book of the last so8t_adamw, and its table from a 16-bit position to the nearest code.
struct CodeTable {
    std::vector<float> code;
    std::vector<uint8_t> nearest;
};

struct Context : Buffers {
    std::string error;
    bool broken = false;  // open failed: only last_error and close work
    const OpTable* ops = nullptr;
    std::string isa;
    bool native_bf16 = false;
    bool packs = false;  // bfloat16 is multiplied by multiply.cpp's kernel
    std::unique_ptr<Pool> pool;
    CodeTable code_tables[2];
    Recordings recordings;
    std::unordered_map<uint64_t, Buffer> snapshots;
    std::mutex snapshots_mutex;  // readers are other threads

    ~Context();
    void begin(const char* name) { operation = name; }
    void end() {}

    // Runs f(unit, worker) for each unit of [0, n) on any thread; a unit's result must not depend on which.
    template <class F>
    void parallel(int64_t n, F&& f) {
        pool->run(n, std::forward<F>(f));
    }

    // 64-byte aligned memory that the units of one operation share; the next call reuses it.
    template <class T>
    T* shared(int64_t n) {
        return static_cast<T*>(shared_bytes(static_cast<uint64_t>(n) * sizeof(T)));
    }

private:
    void* shared_bytes(uint64_t bytes);
    void* shared_ = nullptr;
    uint64_t shared_size_ = 0;
};

}  // namespace so8t

struct so8t_ctx : so8t::Context {};
