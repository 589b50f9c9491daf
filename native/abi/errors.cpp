#include "errors.h"

#include <cstdarg>
#include <cstdio>

namespace so8t {

namespace {

Error error(int32_t code, const char* format, va_list args) {
    char text[1024];
    std::vsnprintf(text, sizeof text, format, args);
    return {code, text};
}

}  // namespace

#define THROWS(name, code)                   \
    void name(const char* format, ...) {     \
        va_list args;                        \
        va_start(args, format);              \
        Error e = error(code, format, args); \
        va_end(args);                        \
        throw e;                             \
    }
THROWS(fail, SO8T_ERROR_BAD_ARGUMENT)
THROWS(no_device, SO8T_ERROR_NO_DEVICE)
THROWS(out_of_memory, SO8T_ERROR_OUT_OF_MEMORY)
THROWS(device_failed, SO8T_ERROR_DEVICE)
THROWS(file_failed, SO8T_ERROR_FILE)
#undef THROWS

}  // namespace so8t
