#include "pool.h"

#include <immintrin.h>
#include <omp.h>
#include <sched.h>

#include <chrono>
#include <cstdlib>
#include <new>

#include "gemm.h"

namespace so8t {

namespace {
constexpr uint32_t kOpen = 1u << 31;
// Operations follow each other within microseconds and waking a thread takes 50: threads spin this long before they sleep.
constexpr auto kSpin = std::chrono::microseconds(60);
constexpr uint64_t kBlock = 4u << 20;
}  // namespace

Worker::Worker() : gemms(new GemmCache) {}

Worker::~Worker() {
    for (Block& b : blocks_) std::free(b.data);
}

void* Worker::take_bytes(uint64_t bytes) {
    bytes = (bytes + 63) & ~uint64_t(63);
    while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].bytes) {
        block_++;
        used_ = 0;
    }
    if (block_ == blocks_.size()) {
        uint64_t size = bytes > kBlock ? bytes : kBlock;
        char* data = static_cast<char*>(std::aligned_alloc(64, size));
        if (!data) throw std::bad_alloc();
        blocks_.push_back({data, size});
        used_ = 0;
    }
    void* p = blocks_[block_].data + used_;
    used_ += bytes;
    return p;
}

Pool::Pool(int threads, bool native_bf16, bool packs) {
    for (int i = 0; i < threads; i++) {
        workers_.emplace_back(new Worker);
        workers_.back()->index = i;
        workers_.back()->native_bf16 = native_bf16;
        workers_.back()->packs = packs;
    }
    for (int i = 1; i < threads; i++) {
        threads_.emplace_back([this, i] { loop(*workers_[i]); });
    }
}

Pool::~Pool() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        stop_ = true;
        epoch_.fetch_add(1);
    }
    wake_.notify_all();
    for (std::thread& t : threads_) t.join();
}

void Pool::work(Worker& w) {
    for (;;) {
        int64_t unit = next_.fetch_add(1, std::memory_order_relaxed);
        if (unit >= units_) return;
        Worker::Mark mark = w.mark();
        try {
            call_(arg_, unit, w);
        } catch (...) {
            std::lock_guard<std::mutex> lock(failure_mutex_);
            if (!failure_) failure_ = std::current_exception();
            next_.store(units_, std::memory_order_relaxed);
        }
        w.release(mark);
    }
}

void Pool::run_erased(int64_t n, Call call, void* arg) {
    if (n <= 0) return;
    // oneDNN must not start threads of its own: the units are the parallelism.
    static thread_local bool single = false;
    if (!single) {
        omp_set_num_threads(1);
        single = true;
    }
    call_ = call;
    arg_ = arg;
    units_ = n;
    failure_ = nullptr;
    next_.store(0, std::memory_order_relaxed);
    const bool shared = n > 1 && !threads_.empty();
    if (shared) {
        gate_.store(kOpen, std::memory_order_release);
        epoch_.fetch_add(1, std::memory_order_seq_cst);
        if (sleepers_.load(std::memory_order_seq_cst) > 0) {
            std::lock_guard<std::mutex> lock(mutex_);
            wake_.notify_all();
        }
    }
    work(*workers_[0]);
    if (shared) {
        // Does not wait for threads that have not come in by now.
        gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
        for (int spins = 0; gate_.load(std::memory_order_acquire) != 0; spins++) {
            if (spins < 4000) {
                _mm_pause();
            } else {
                sched_yield();
            }
        }
    }
    if (failure_) {
        std::exception_ptr failure = failure_;
        failure_ = nullptr;
        std::rethrow_exception(failure);
    }
}

void Pool::loop(Worker& w) {
    omp_set_num_threads(1);
    uint64_t seen = 0;
    for (;;) {
        auto start = std::chrono::steady_clock::now();
        for (int spins = 1; epoch_.load(std::memory_order_acquire) == seen; spins++) {
            _mm_pause();
            if (spins % 64 != 0 || std::chrono::steady_clock::now() - start < kSpin) continue;
            std::unique_lock<std::mutex> lock(mutex_);
            sleepers_.fetch_add(1, std::memory_order_seq_cst);
            wake_.wait(lock, [&] { return epoch_.load(std::memory_order_seq_cst) != seen; });
            sleepers_.fetch_sub(1, std::memory_order_seq_cst);
        }
        seen = epoch_.load(std::memory_order_acquire);
        if (stop_) return;
        uint32_t gate = gate_.load(std::memory_order_acquire);
        while (gate & kOpen) {
            if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) {
                work(w);
                gate_.fetch_sub(1, std::memory_order_acq_rel);
                break;
            }
        }
    }
}

}  // namespace so8t
