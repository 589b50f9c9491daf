#include "checks/logits.h"

#include <limits>

#include "context.h"

namespace so8t {

namespace {

// A column is an int32, and a kernel's threads may count a little beyond the last one.
constexpr int64_t kMostColumns = std::numeric_limits<int32_t>::max() - 2048;

void check_columns(int64_t columns) {
    check_size("columns", columns, 1);
    if (columns > kMostColumns) fail("columns is %lld", static_cast<long long>(columns));
}

}  // namespace

CrossEntropyViews check(Context& c, const so8t_cross_entropy_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns, 1);
    CrossEntropyViews v;
    v.logits = c.matrix(p.logits, "logits", p.rows, p.columns, kCompute);
    v.target = c.vector(p.target, "target", p.rows, kI32);
    v.loss = c.vector(p.loss, "loss", p.rows, kF32);
    check_range(c, v.target, "target", p.rows, std::numeric_limits<int32_t>::min(), p.columns);  // a negative one masks its row
    return v;
}

ArgmaxViews check(Context& c, const so8t_argmax_params& p) {
    check_size("rows", p.rows);
    check_columns(p.columns);
    ArgmaxViews v;
    v.x = c.matrix(p.x, "x", p.rows, p.columns, kCompute);
    v.index = c.vector(p.index, "index", p.rows, kI32);
    return v;
}

SampleViews check(Context& c, const so8t_sample_params& p) {
    check_size("rows", p.rows);
    check_columns(p.columns);
    if (!(p.temperature > 0)) fail("temperature is %g", p.temperature);
    if (!(p.top_p > 0 && p.top_p <= 1)) fail("top_p is %g", p.top_p);
    SampleViews v;
    v.x = c.matrix(p.x, "x", p.rows, p.columns, kF32);
    v.u = c.vector(p.u, "u", p.rows, kF32);
    v.index = c.vector(p.index, "index", p.rows, kI32);
    return v;
}

}  // namespace so8t
