// Whether a plan of cuDNN's computes attention: its results twice with the same bits, and those of this library's kernels.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "buffers.h"
#include "context.h"

namespace so8t {

// A matrix that a pass writes. Of float32: log-sum-exps.
struct Result {
    const char* name;
    View view;
    int64_t rows, columns;
    int64_t head_dim;  // columns that are compared by themselves
};

// What is wrong with `cudnn`, which writes the results; empty if nothing is. `own` writes into copies of them.
std::string refuted(Context& c, const std::vector<Result>& results, const std::function<void()>& cudnn,
                    const std::function<void(const std::vector<View>&)>& own);

}  // namespace so8t
