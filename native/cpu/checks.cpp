// Checks of a vector's values, done at once.
#include "context.h"

namespace so8t {

void check_range(Context&, const View& v, const char* name, int64_t n, int64_t least, int64_t limit) {
    const int32_t* p = v.as<int32_t>();
    for (int64_t i = 0; i < n; i++) {
        if (p[i] < least || p[i] >= limit) {
            fail("%s[%lld] is %d, not in [%lld, %lld)", name, static_cast<long long>(i), p[i], static_cast<long long>(least), static_cast<long long>(limit));
        }
    }
}

void check_ascending(Context&, const View& v, const char* name, int64_t n) {
    const int32_t* p = v.as<int32_t>();
    for (int64_t i = 1; i < n; i++) {
        if (p[i] <= p[i - 1]) fail("%s[%lld] is %d after %d, not ascending", name, static_cast<long long>(i), p[i], p[i - 1]);
    }
}

void check_boundaries(Context&, const View& v, const char* name, int64_t n, int64_t rows) {
    const int32_t* p = v.as<int32_t>();
    if (p[0] != 0 || p[n] != rows) fail("%s runs from %d to %d, rows is %lld", name, p[0], p[n], static_cast<long long>(rows));
    for (int64_t i = 1; i <= n; i++) {
        if (p[i] < p[i - 1]) fail("%s[%lld] is %d after %d", name, static_cast<long long>(i), p[i], p[i - 1]);
    }
}

void check_longest(Context&, const View& v, const char* name, int64_t n, int64_t longest) {
    const int32_t* p = v.as<int32_t>();
    for (int64_t i = 1; i <= n; i++) {
        if (int64_t(p[i]) - p[i - 1] > longest) {
            fail("%s[%lld] is %d after %d, longest is %lld", name, static_cast<long long>(i), p[i], p[i - 1], static_cast<long long>(longest));
        }
    }
}

void check_code_book(Context&, const View& v, int64_t n) {
    const float* p = v.as<float>();
    for (int64_t i = 1; i < n; i++) {
        if (!(p[i] >= p[i - 1])) fail("a code book is not ascending at %lld", static_cast<long long>(i));
    }
}

}  // namespace so8t
