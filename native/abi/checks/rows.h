// Plain data movement: a call's parameters become checked views.
#pragma once

#include "buffers.h"

namespace so8t {

struct Context;

struct ZeroViews {
    View x;
};
struct CastViews {
    View x, y;
};
struct QuantizeRowsViews {
    View x, q, absmax;
};
struct DequantizeRowsViews {
    View q, absmax, y;
};
struct GatherRowsViews {
    View index, x, y;
};
struct ScatterRowsViews {
    View index, x, y;
};

ZeroViews check(Context& c, const so8t_zero_params& p);
CastViews check(Context& c, const so8t_cast_params& p);
QuantizeRowsViews check(Context& c, const so8t_quantize_rows_params& p);
DequantizeRowsViews check(Context& c, const so8t_dequantize_rows_params& p);
GatherRowsViews check(Context& c, const so8t_gather_rows_params& p);
ScatterRowsViews check(Context& c, const so8t_scatter_rows_params& p);

}  // namespace so8t
