// Operations remembered with their parameters, to be done again.
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
    std::shared_ptr<void> prepared;  // what a library made of them to do them faster
};

struct Recordings {
    std::unordered_map<uint64_t, Recording> all;
    uint64_t next = 1;
    uint64_t open = 0;  // the one under way

    void begin(so8t_record_begin_params& p);
    void end(const so8t_recording_params& p);
    void drop(const so8t_recording_params& p);
    Recording& find(uint64_t handle);
};

// Each library's own way to do a recording again; it may simply run it.
void replay(Context& c, Recording& r);
// One call after another; an error names the operation it came from.
void run_calls(Context& c, const Recording& r);

}  // namespace so8t
