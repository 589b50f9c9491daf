// Recorded operations and their parameters.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "so8t.h"

namespace so8t {

struct Context;

struct Recording {
    struct Call {
        const char* operation;
        std::function<void(Context&)> run;
    };
    std::vector<Call> calls;
    std::shared_ptr<void> prepared;  // a library's faster form of them
};

struct Recordings {
    std::unordered_map<uint64_t, Recording> all;
    uint64_t next = 1;
    uint64_t open = 0;  // the one being recorded; 0: none

    void begin(so8t_record_begin_params& p);
    void end(const so8t_recording_params& p);
    void drop(const so8t_recording_params& p);
    Recording& find(uint64_t handle);
};

// Executes a recording again, in each library's own way.
void replay(Context& c, Recording& r);
// Executes one call after another; an error names the operation that failed.
void run_calls(Context& c, const Recording& r);

}  // namespace so8t
