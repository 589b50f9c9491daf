#include "recordings.h"

#include "buffers.h"
#include "context.h"

namespace so8t {

Recording& Recordings::find(uint64_t handle) {
    auto it = all.find(handle);
    if (it == all.end()) fail("recording %llu does not exist", static_cast<unsigned long long>(handle));
    return it->second;
}

void Recordings::begin(so8t_record_begin_params& p) {
    p.recording = 0;
    if (open != 0) fail("recording %llu has not ended", static_cast<unsigned long long>(open));
    all.emplace(next, Recording{});
    p.recording = open = next++;
}

void Recordings::end(const so8t_recording_params& p) {
    if (open == 0 || open != p.recording) fail("recording %llu is not under way", static_cast<unsigned long long>(p.recording));
    open = 0;
}

void Recordings::drop(const so8t_recording_params& p) {
    find(p.recording);
    if (open == p.recording) open = 0;
    all.erase(p.recording);
}

void run_calls(Context& c, const Recording& r) {
    for (const Recording::Call& call : r.calls) {
        c.operation = call.operation;
        try {
            call.run(c);
        } catch (Error& e) {
            if (!e.operation) e.operation = call.operation;
            throw;
        }
    }
}

}  // namespace so8t
