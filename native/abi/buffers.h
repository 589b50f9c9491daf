// Memory as both libraries see it: buffers behind handles, and checked views of them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>

#include "errors.h"
#include "so8t.h"

namespace so8t {

// Sets of dtypes, for checks.
enum : unsigned {
    kF32 = 1u << SO8T_FLOAT32,
    kBF16 = 1u << SO8T_BFLOAT16,
    kI8 = 1u << SO8T_INT8,
    kI32 = 1u << SO8T_INT32,
    kU8 = 1u << SO8T_UINT8,
    kF16 = 1u << SO8T_FLOAT16,
    kCompute = kF32 | kBF16,
    kFloat = kF32 | kBF16 | kF16,
};

inline unsigned only(int32_t dtype) { return dtype >= 0 && dtype < 31 ? 1u << dtype : 0; }
inline bool present(const so8t_tensor& t) { return t.buffer != 0; }
int64_t dtype_bytes(int32_t dtype);
const char* dtype_name(int32_t dtype);

// A tensor whose handle, dtype, stride and bounds have been checked.
struct View {
    char* data = nullptr;
    int64_t stride = 0;
    int32_t dtype = 0;

    explicit operator bool() const { return data != nullptr; }
    template <class T>
    T* row(int64_t i) const {
        return reinterpret_cast<T*>(data) + i * stride;
    }
    // From column j on.
    template <class T>
    View column(int64_t j) const {
        return {reinterpret_cast<char*>(row<T>(0) + j), stride, dtype};
    }
    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(data);
    }
};

struct Buffer {
    void* data;
    uint64_t bytes;
    uint64_t reserved;  // bytes that the library allocated for it, in its own way of counting
    std::string purpose;
    bool on_host = false;  // not counted
};

struct Buffers {
    const char* operation = "";  // the current one; exports.cpp sets it
    std::unordered_map<uint64_t, Buffer> buffers;
    uint64_t next_buffer = 1;
    uint64_t held = 0, peak = 0, memory = 0;
    struct Use {
        uint64_t held = 0, peak = 0;
    };
    std::map<std::string, Use> uses;  // by purpose
    std::string account;              // what so8t_memory returned last

    // [rows, columns], columns contiguous. Fails unless the tensor is present, of one of these dtypes and inside its buffer.
    View matrix(const so8t_tensor& t, const char* name, int64_t rows, int64_t columns, unsigned dtypes) const;
    // [n]; the stride is not read.
    View vector(const so8t_tensor& t, const char* name, int64_t n, unsigned dtypes) const;

    const Buffer& find(uint64_t handle, const char* name = "") const;
    // The range of an upload or download.
    char* range(const so8t_transfer_params& p) const;
    // Enters a buffer and returns its handle.
    uint64_t enter(const Buffer& b);
    void leave(uint64_t handle);
    // Count memory by purpose.
    void hold(const std::string& purpose, uint64_t bytes);
    void drop(const std::string& purpose, uint64_t bytes);
};

// Lines "held peak purpose", the highest peak first.
std::string memory_account(const Buffers& b);

void check_snapshot_range(const so8t_snapshot_read_params& p, uint64_t bytes);

// Refuses a size from the caller that is less than `least` or absurdly large.
void check_size(const char* name, int64_t value, int64_t least = 0);

}  // namespace so8t
