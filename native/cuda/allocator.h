// Device memory: freed blocks are cached and reused, as cudaMalloc and cudaFree stall the device.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace so8t {

struct Context;

class Allocator {
public:
    explicit Allocator(Context& c) : c_(c) {}
    ~Allocator();
    // At least `bytes`, 256-byte aligned, uninitialized. Throws an error that names the request, the holders of memory and
    // the settings of a run that need less.
    void* take(uint64_t bytes, const std::string& purpose, uint64_t& reserved);
    void give(void* p, uint64_t reserved);

private:
    void trim();
    [[noreturn]] void refuse(uint64_t bytes, const std::string& purpose);
    Context& c_;
    std::multimap<uint64_t, void*> free_;  // by size
};

}  // namespace so8t
