// A profile: each operation is timed by two events, and the sums by name are written to a file when the context closes.
#pragma once

#include <cuda_runtime.h>

#include <map>
#include <string>
#include <vector>

namespace so8t {

class Profile {
public:
    Profile(cudaStream_t stream, std::string path) : stream_(stream), path_(std::move(path)) {}
    ~Profile();
    void begin(const char* operation);
    void end();

private:
    struct Span {
        const char* operation = nullptr;
        cudaEvent_t begin = nullptr, end = nullptr;
    };
    struct Total {
        double ms = 0;
        long long calls = 0;
    };
    void collect();
    cudaStream_t stream_;
    std::string path_;
    std::vector<Span> spans_;  // their events are reused
    size_t used_ = 0;
    bool inside_ = false;
    std::map<std::string, Total> totals_;
};

}  // namespace so8t
