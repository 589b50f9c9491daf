// What every operation works with: buffers behind handles, checked views of them, threads, the error text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "pool.h"
#include "so8t.h"

namespace so8t {

struct OpTable;

struct Error {
    std::string text;
};

// Throws an Error; the border in exports.cpp puts the operation's name before it.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

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
    template <class T>
    T* as() const {
        return reinterpret_cast<T*>(data);
    }
};

struct Buffer {
    void* data;
    uint64_t bytes;
    uint64_t mapped;  // bytes mapped, 0: from aligned_alloc
    std::string purpose;
};

// The two dynamic code books of the last so8t_adamw, turned into tables from a 16-bit position to a code.
struct CodeTable {
    std::vector<float> code;
    std::vector<uint8_t> nearest;
};

struct Context {
    std::string error;
    bool broken = false;  // open failed: only last_error and close answer
    const OpTable* ops = nullptr;
    std::string isa;
    bool native_bf16 = false;
    bool packs = false;  // bfloat16 is multiplied by multiply.cpp's kernel
    std::unique_ptr<Pool> pool;
    std::unordered_map<uint64_t, Buffer> buffers;
    uint64_t next_buffer = 1;
    uint64_t held = 0, peak = 0, memory = 0;
    CodeTable code_tables[2];

    ~Context();

    // [rows, columns], columns contiguous. Fails unless the tensor is present, of one of these dtypes and inside its buffer.
    View matrix(const so8t_tensor& t, const char* name, int64_t rows, int64_t columns, unsigned dtypes);
    // [n]; the stride is not read.
    View vector(const so8t_tensor& t, const char* name, int64_t n, unsigned dtypes);

    // Unit i of [0, n) is done by any thread; its result must not depend on which. Few units or little work: no other thread.
    template <class F>
    void parallel(int64_t n, F&& f) {
        pool->run(n, std::forward<F>(f));
    }

    // 64-byte aligned memory that all units of one operation see; the next call's overwrites it.
    template <class T>
    T* shared(int64_t n) {
        return static_cast<T*>(shared_bytes(static_cast<uint64_t>(n) * sizeof(T)));
    }

private:
    void* shared_bytes(uint64_t bytes);
    void* shared_ = nullptr;
    uint64_t shared_size_ = 0;
};

// A size from the caller: negative or absurdly large ones are errors.
void check_size(const char* name, int64_t value, int64_t least = 0);
// Values of an int32 vector must lie in [least, limit).
void check_range(const View& v, const char* name, int64_t n, int64_t least, int64_t limit);

const char* dtype_name(int32_t dtype);

void open_context(Context& c, const so8t_open_params& p);
void device_info(Context& c, so8t_device_info_params& p);
void alloc_buffer(Context& c, so8t_alloc_params& p);
void free_buffer(Context& c, const so8t_free_params& p);
void upload(Context& c, const so8t_transfer_params& p);
void download(Context& c, const so8t_transfer_params& p);

}  // namespace so8t

struct so8t_ctx : so8t::Context {};
