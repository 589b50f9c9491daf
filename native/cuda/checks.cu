// Checks of values in device memory. One block searches for the first bad one; a stream's first finding stays until reported.
// Reference: TestIndexErrors in native/errors_test.go.
#include <algorithm>
#include <cstdio>

#include "context.h"
#include "device.h"

namespace so8t {

namespace cuda {

namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) look(const int32_t* v, int64_t n, int kind, int64_t least, int64_t limit, int check, Finding* finding) {
    __shared__ unsigned long long first;
    if (threadIdx.x == 0) first = ~0ull;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
        bool bad;
        if (kind == Check::range) {
            bad = v[i] < least || v[i] >= limit;
        } else if (kind == Check::ascending) {
            bad = i > 0 && v[i] <= v[i - 1];
        } else if (kind == Check::code_book) {
            bad = i > 0 && !(__uint_as_float(static_cast<uint32_t>(v[i])) >= __uint_as_float(static_cast<uint32_t>(v[i - 1])));
        } else if (kind == Check::longest) {
            bad = i > 0 && static_cast<int64_t>(v[i]) - v[i - 1] > limit;
        } else {
            bad = (i == 0 && v[0] != 0) || (i == n - 1 && v[i] != limit) || (i > 0 && v[i] < v[i - 1]);
        }
        if (bad) atomicMin(&first, static_cast<unsigned long long>(i));
    }
    __syncthreads();
    if (threadIdx.x == 0 && first != ~0ull && finding->found == 0) {
        const int64_t i = static_cast<int64_t>(first);
        finding->check = check;
        finding->index = i;
        finding->value = v[i];
        const bool last = kind == Check::boundaries && i == n - 1 && v[i] != limit;
        finding->before = last ? v[0] : i > 0 ? v[i - 1] : v[n - 1];
        finding->found = 1;
    }
}

void queue(Context& c, const View& v, int64_t n, const Check& check) {
    if (n == 0) return;
    char key[128];
    std::snprintf(key, sizeof key, "%p %lld %d %lld %lld", static_cast<void*>(v.data), static_cast<long long>(n), check.kind,
                  static_cast<long long>(check.least), static_cast<long long>(check.limit));
    for (const std::string& k : c.checked) {
        if (k == key) return;
    }
    c.checked.emplace_back(key);
    const auto at = std::find(c.checks.begin(), c.checks.end(), check);
    const int number = static_cast<int>(at - c.checks.begin());
    if (at == c.checks.end()) c.checks.push_back(check);
    LAUNCH(look, dim3(1), dim3(kThreads), 0, c.stream, v.as<int32_t>(), n, static_cast<int>(check.kind), check.least, check.limit, number, c.finding);
    launched("check");
}

}  // namespace

}  // namespace cuda

void check_range(Context& c, const View& v, const char* name, int64_t n, int64_t least, int64_t limit) {
    cuda::queue(c, v, n, {Check::range, c.operation, name, least, limit});
}
void check_ascending(Context& c, const View& v, const char* name, int64_t n) { cuda::queue(c, v, n, {Check::ascending, c.operation, name, 0, 0}); }
void check_boundaries(Context& c, const View& v, const char* name, int64_t n, int64_t rows) {
    cuda::queue(c, v, n + 1, {Check::boundaries, c.operation, name, n, rows});
}
void check_longest(Context& c, const View& v, const char* name, int64_t n, int64_t longest) {
    cuda::queue(c, v, n + 1, {Check::longest, c.operation, name, 0, longest});
}
void check_code_book(Context& c, const View& v, int64_t n) { cuda::queue(c, v, n, {Check::code_book, c.operation, "code", 0, 0}); }
void integers_changed(Context& c) { c.checked.clear(); }

void report_finding(Context& c) {
    const Finding f = *c.finding;
    if (f.found == 0) return;
    *c.finding = {};
    c.checked.clear();
    const Check& check = c.checks[static_cast<size_t>(f.check)];
    const long long index = f.index;
    try {
        if (check.kind == Check::range) {
            fail("%s[%lld] is %d, not in [%lld, %lld)", check.name, index, f.value, static_cast<long long>(check.least), static_cast<long long>(check.limit));
        } else if (check.kind == Check::ascending) {
            fail("%s[%lld] is %d after %d, not ascending", check.name, index, f.value, f.before);
        } else if (check.kind == Check::longest) {
            fail("%s[%lld] is %d after %d, longest is %lld", check.name, index, f.value, f.before, static_cast<long long>(check.limit));
        } else if (check.kind == Check::code_book) {
            fail("a code book is not ascending at %lld", index);
        } else if (index == 0) {
            fail("%s runs from %d to %d, rows is %lld", check.name, f.value, f.before, static_cast<long long>(check.limit));
        } else if (index == check.least && f.value != check.limit) {
            fail("%s runs from %d to %d, rows is %lld", check.name, f.before, f.value, static_cast<long long>(check.limit));
        }
        fail("%s[%lld] is %d after %d", check.name, index, f.value, f.before);
    } catch (Error& e) {
        e.operation = check.operation;
        throw;
    }
}

}  // namespace so8t
