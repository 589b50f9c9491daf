#include "profile.h"

#include <algorithm>
#include <cstdio>

namespace so8t {

namespace {
constexpr size_t kSpans = 4096;  // between two collections, which wait for the device
}

void Profile::begin(const char* operation) {
    if (used_ == kSpans) collect();
    if (used_ == spans_.size()) {
        Span s;
        if (cudaEventCreateWithFlags(&s.begin, cudaEventDefault) != cudaSuccess || cudaEventCreateWithFlags(&s.end, cudaEventDefault) != cudaSuccess) return;
        spans_.push_back(s);
    }
    spans_[used_].operation = operation;
    cudaEventRecord(spans_[used_].begin, stream_);
    inside_ = true;
}

void Profile::end() {
    if (!inside_) return;
    inside_ = false;
    cudaEventRecord(spans_[used_++].end, stream_);
}

void Profile::collect() {
    for (size_t i = 0; i < used_; i++) {
        float ms = 0;
        cudaEventSynchronize(spans_[i].end);
        if (cudaEventElapsedTime(&ms, spans_[i].begin, spans_[i].end) != cudaSuccess) continue;
        Total& t = totals_[spans_[i].operation];
        t.ms += ms;
        t.calls++;
    }
    used_ = 0;
}

Profile::~Profile() {
    collect();
    for (Span& s : spans_) {
        cudaEventDestroy(s.begin);
        cudaEventDestroy(s.end);
    }
    std::vector<std::pair<std::string, Total>> all(totals_.begin(), totals_.end());
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.second.ms > b.second.ms; });
    double whole = 0;
    for (const auto& t : all) whole += t.second.ms;
    std::FILE* f = std::fopen(path_.c_str(), "a");
    if (!f) return;
    std::fprintf(f, "%-24s %8s %10s %10s %7s\n", "operation", "calls", "ms", "ms a call", "share");
    for (const auto& t : all) {
        std::fprintf(f, "%-24s %8lld %10.2f %10.4f %6.1f%%\n", t.first.c_str(), t.second.calls, t.second.ms, t.second.ms / static_cast<double>(t.second.calls),
                     100 * t.second.ms / whole);
    }
    std::fclose(f);
}

}  // namespace so8t
