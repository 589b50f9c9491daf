#include "allocator.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "context.h"

namespace so8t {

namespace {
constexpr uint64_t kSmall = 1 << 20;
// Few sizes, so that freed blocks are reused: multiples of 512 bytes, or of 2 MiB from 1 MiB on.
uint64_t rounded(uint64_t bytes) {
    const uint64_t unit = bytes < kSmall ? 512 : kSmall * 2;
    return std::max<uint64_t>((bytes + unit - 1) / unit * unit, 512);
}
}  // namespace

Allocator::~Allocator() { trim(); }

void Allocator::trim() {
    for (auto it = free_.begin(); it != free_.end();) {
        // a capture forbids it, until it ends
        it = cudaFree(it->second) == cudaSuccess ? free_.erase(it) : std::next(it);
    }
    cudaGetLastError();
}

void* Allocator::take(uint64_t bytes, const std::string& purpose, uint64_t& reserved) {
    if (bytes > uint64_t(1) << 50) refuse(bytes, purpose);
    const uint64_t size = rounded(bytes);
    void* p = nullptr;
    auto it = free_.lower_bound(size);
    if (it != free_.end() && it->first - size <= size / 8) {
        reserved = it->first;
        p = it->second;
        free_.erase(it);
    } else {
        reserved = size;
        cudaError_t e = cudaMalloc(&p, size);
        if (e == cudaErrorMemoryAllocation) {
            cudaGetLastError();
            trim();
            e = cudaMalloc(&p, size);
        }
        if (e == cudaErrorMemoryAllocation) {
            cudaGetLastError();
            refuse(bytes, purpose);
        }
        check_cuda(e, "cudaMalloc");
    }
    return p;
}

void Allocator::give(void* p, uint64_t reserved) { free_.emplace(reserved, p); }

void Allocator::refuse(uint64_t bytes, const std::string& purpose) {
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    std::vector<std::pair<uint64_t, std::string>> holders;
    for (auto& u : c_.uses) {
        if (u.second.held > 0) holders.emplace_back(u.second.held, u.first);
    }
    std::sort(holders.rbegin(), holders.rend());
    std::string text;
    for (size_t i = 0; i < holders.size() && i < 6; i++) text += (i ? ", " : "") + std::to_string(holders[i].first) + " \"" + holders[i].second + "\"";
    out_of_memory(
        "%llu bytes for \"%s\": out of memory, %llu bytes held (%s), %s has %llu of which %llu are free; less is needed with a smaller data.max_seq_length, "
        "training.per_device_train_batch_size or training.lora_r, with training.gradient_checkpointing: true or an 8-bit training.optim",
        static_cast<unsigned long long>(bytes), purpose.c_str(), static_cast<unsigned long long>(c_.held), text.c_str(), c_.name.c_str(),
        static_cast<unsigned long long>(total), static_cast<unsigned long long>(free));
}

}  // namespace so8t
