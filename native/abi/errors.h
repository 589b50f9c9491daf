// How a call fails: what is thrown inside a library, and what kind of failure the caller is told of.
#pragma once

#include <cstdint>
#include <string>

#include "so8t.h"

namespace so8t {

struct Error {
    int32_t code;  // SO8T_ERROR_...
    std::string text;
    const char* operation = nullptr;  // that failed, where it is not the one called: a device finds faults later
};

// Each throws an Error; exports.cpp puts the operation's name before its text.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));  // a bad argument
[[noreturn]] void no_device(const char* format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void out_of_memory(const char* format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void device_failed(const char* format, ...) __attribute__((format(printf, 1, 2)));  // the device, its driver or its libraries
[[noreturn]] void file_failed(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace so8t
