#include "buffers.h"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

namespace so8t {

namespace {

constexpr int64_t kLargest = int64_t(1) << 40;

std::string dtype_names(unsigned set) {
    std::string s;
    for (int32_t d = SO8T_FLOAT32; d <= SO8T_FLOAT16; d++) {
        if (!(set & only(d))) continue;
        if (!s.empty()) s += " or ";
        s += dtype_name(d);
    }
    return s;
}

// The part of a buffer that t names; shape is [rows, columns] as text for errors.
View checked(const Buffers& c, const so8t_tensor& t, const char* name, int64_t rows, int64_t columns, int64_t stride, unsigned dtypes, const char* shape) {
    if (t.buffer == 0) fail("%s %s is absent", name, shape);
    if (!(only(t.dtype) & dtypes)) fail("%s %s has dtype %s, wanted %s", name, shape, dtype_name(t.dtype), dtype_names(dtypes).c_str());
    const Buffer& b = c.find(t.buffer, name);
    const int64_t size = dtype_bytes(t.dtype);
    if (rows > 1 && stride < columns) fail("%s %s has stride %lld", name, shape, static_cast<long long>(stride));
    if (t.offset % size != 0) {
        fail("%s %s: offset %llu is no multiple of %s's size", name, shape, static_cast<unsigned long long>(t.offset), dtype_name(t.dtype));
    }
    // 128 bits: the caller's stride times a row number may overflow 64.
    __int128 extent = rows == 0 || columns == 0 ? 0 : ((__int128)(rows - 1) * stride + columns) * size;
    if ((__int128)t.offset + extent > (__int128)b.bytes) {
        fail("%s %s %s needs %llu bytes at offset %llu, buffer %llu \"%s\" has %llu", name, shape, dtype_name(t.dtype), static_cast<unsigned long long>(extent),
             static_cast<unsigned long long>(t.offset), static_cast<unsigned long long>(t.buffer), b.purpose.c_str(), static_cast<unsigned long long>(b.bytes));
    }
    View v;
    v.data = static_cast<char*>(b.data) + t.offset;
    v.stride = stride;
    v.dtype = t.dtype;
    return v;
}

}  // namespace

int64_t dtype_bytes(int32_t dtype) {
    switch (dtype) {
        case SO8T_FLOAT32:
        case SO8T_INT32: return 4;
        case SO8T_BFLOAT16:
        case SO8T_FLOAT16: return 2;
        case SO8T_INT8:
        case SO8T_UINT8: return 1;
    }
    return 0;
}

const char* dtype_name(int32_t dtype) {
    static const char* const names[] = {"none", "float32", "bfloat16", "int8", "int32", "uint8", "float16"};
    return dtype >= 0 && dtype <= SO8T_FLOAT16 ? names[dtype] : "unknown";
}

void check_size(const char* name, int64_t value, int64_t least) {
    if (value < least || value > kLargest) fail("%s is %lld", name, static_cast<long long>(value));
}

View Buffers::matrix(const so8t_tensor& t, const char* name, int64_t rows, int64_t columns, unsigned dtypes) const {
    char shape[64];
    std::snprintf(shape, sizeof shape, "[%lld, %lld]", static_cast<long long>(rows), static_cast<long long>(columns));
    return checked(*this, t, name, rows, columns, t.stride, dtypes, shape);
}

View Buffers::vector(const so8t_tensor& t, const char* name, int64_t n, unsigned dtypes) const {
    char shape[32];
    std::snprintf(shape, sizeof shape, "[%lld]", static_cast<long long>(n));
    return checked(*this, t, name, 1, n, n, dtypes, shape);
}

const Buffer& Buffers::find(uint64_t handle, const char* name) const {
    auto it = buffers.find(handle);
    if (it == buffers.end()) fail("%s%sbuffer %llu does not exist", name, *name ? ": " : "", static_cast<unsigned long long>(handle));
    return it->second;
}

char* Buffers::range(const so8t_transfer_params& p) const {
    const Buffer& b = find(p.buffer);
    if (p.offset > b.bytes || p.bytes > b.bytes - p.offset) {
        fail("%llu bytes at offset %llu, buffer %llu \"%s\" has %llu", static_cast<unsigned long long>(p.bytes), static_cast<unsigned long long>(p.offset),
             static_cast<unsigned long long>(p.buffer), b.purpose.c_str(), static_cast<unsigned long long>(b.bytes));
    }
    if (p.bytes > 0 && !p.host) fail("no host memory");
    return static_cast<char*>(b.data) + p.offset;
}

uint64_t Buffers::enter(const Buffer& b) {
    buffers.emplace(next_buffer, b);
    if (!b.on_host) hold(b.purpose, b.bytes);
    return next_buffer++;
}

void Buffers::leave(uint64_t handle) {
    const Buffer& b = find(handle);
    if (!b.on_host) drop(b.purpose, b.bytes);
    buffers.erase(handle);
}

void Buffers::hold(const std::string& purpose, uint64_t bytes) {
    Use& u = uses[purpose];
    u.held += bytes;
    u.peak = std::max(u.peak, u.held);
    held += bytes;
    peak = std::max(peak, held);
}

void Buffers::drop(const std::string& purpose, uint64_t bytes) {
    uses[purpose].held -= bytes;
    held -= bytes;
}

void check_snapshot_range(const so8t_snapshot_read_params& p, uint64_t bytes) {
    if (p.offset > bytes || p.bytes > bytes - p.offset) {
        fail("%llu bytes at offset %llu, the snapshot has %llu", static_cast<unsigned long long>(p.bytes), static_cast<unsigned long long>(p.offset),
             static_cast<unsigned long long>(bytes));
    }
    if (p.bytes > 0 && !p.host) fail("no host memory");
}

std::string memory_account(const Buffers& b) {
    std::vector<std::pair<std::string, Buffers::Use>> all(b.uses.begin(), b.uses.end());
    std::stable_sort(all.begin(), all.end(), [](const auto& x, const auto& y) { return x.second.peak > y.second.peak; });
    std::string text;
    for (const auto& u : all) text += std::to_string(u.second.held) + " " + std::to_string(u.second.peak) + " " + u.first + "\n";
    return text;
}

}  // namespace so8t
