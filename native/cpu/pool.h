// A fixed set of threads that take numbered units of work from one counter.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace so8t {

class GemmCache;

// A thread's own scratch memory and primitives.
struct Worker {
    int index = 0;
    bool native_bf16 = false;  // oneDNN has a fast bfloat16 matmul
    bool packs = false;        // bfloat16 is multiplied by multiply.cpp's kernel
    std::unique_ptr<GemmCache> gemms;

    Worker();
    ~Worker();

    // 64-byte aligned memory until the end of the unit, uninitialized.
    template <class T>
    T* take(int64_t n) {
        return static_cast<T*>(take_bytes(static_cast<uint64_t>(n) * sizeof(T)));
    }
    void* take_bytes(uint64_t bytes);
    // release(mark) frees everything taken after mark().
    struct Mark {
        size_t block, used;
    };
    Mark mark() const { return {block_, used_}; }
    void release(Mark m) {
        block_ = m.block;
        used_ = m.used;
    }

private:
    struct Block {
        char* data;
        uint64_t bytes;
    };
    std::vector<Block> blocks_;
    size_t block_ = 0;
    uint64_t used_ = 0;
};

class Pool {
public:
    Pool(int threads, bool native_bf16, bool packs);
    ~Pool();
    int threads() const { return static_cast<int>(workers_.size()); }

    // Calls f(unit, worker) for every unit of [0, n) and returns when all are done; rethrows the first exception.
    template <class F>
    void run(int64_t n, F&& f) {
        using Fn = std::remove_reference_t<F>;
        const Call call = [](void* arg, int64_t unit, Worker& w) { (*static_cast<Fn*>(arg))(unit, w); };
        run_erased(n, call, const_cast<void*>(static_cast<const void*>(&f)));
    }

private:
    using Call = void (*)(void*, int64_t, Worker&);
    void run_erased(int64_t n, Call call, void* arg);
    void work(Worker& w);
    void loop(Worker& w);

    std::vector<std::unique_ptr<Worker>> workers_;  // 0: the caller
    std::vector<std::thread> threads_;

    Call call_ = nullptr;
    void* arg_ = nullptr;
    int64_t units_ = 0;
    std::exception_ptr failure_;
    std::mutex failure_mutex_;
    alignas(64) std::atomic<int64_t> next_{0};
    alignas(64) std::atomic<uint32_t> gate_{0};   // open flag and number of threads inside
    alignas(64) std::atomic<uint64_t> epoch_{0};  // changes with every job
    std::atomic<int> sleepers_{0};
    std::atomic<bool> stop_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
};

}  // namespace so8t
