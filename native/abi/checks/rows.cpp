#include "checks/rows.h"

#include "context.h"

namespace so8t {

ZeroViews check(Context& c, const so8t_zero_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    return {c.matrix(p.x, "x", p.rows, p.columns, ~0u)};
}

CastViews check(Context& c, const so8t_cast_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    CastViews v;
    v.x = c.matrix(p.x, "x", p.rows, p.columns, kFloat);
    v.y = c.matrix(p.y, "y", p.rows, p.columns, kFloat);
    return v;
}

QuantizeRowsViews check(Context& c, const so8t_quantize_rows_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    QuantizeRowsViews v;
    v.x = c.matrix(p.x, "x", p.rows, p.columns, kFloat);
    v.q = c.matrix(p.q, "q", p.rows, p.columns, kI8);
    v.absmax = c.vector(p.absmax, "absmax", p.rows, kF32);
    return v;
}

DequantizeRowsViews check(Context& c, const so8t_dequantize_rows_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    DequantizeRowsViews v;
    v.q = c.matrix(p.q, "q", p.rows, p.columns, kI8);
    v.absmax = c.vector(p.absmax, "absmax", p.rows, kF32);
    v.y = c.matrix(p.y, "y", p.rows, p.columns, kCompute);
    return v;
}

GatherRowsViews check(Context& c, const so8t_gather_rows_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    check_size("x_rows", p.x_rows);
    GatherRowsViews v;
    v.index = c.vector(p.index, "index", p.rows, kI32);
    v.x = c.matrix(p.x, "x", p.x_rows, p.columns, kFloat | kI8);
    v.y = c.matrix(p.y, "y", p.rows, p.columns, kFloat);
    check_range(c, v.index, "index", p.rows, 0, p.x_rows);
    return v;
}

ScatterRowsViews check(Context& c, const so8t_scatter_rows_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns);
    check_size("y_rows", p.y_rows);
    ScatterRowsViews v;
    v.index = c.vector(p.index, "index", p.rows, kI32);
    v.x = c.matrix(p.x, "x", p.rows, p.columns, kCompute);
    v.y = c.matrix(p.y, "y", p.y_rows, p.columns, kCompute);
    check_range(c, v.index, "index", p.rows, 0, p.y_rows);
    check_ascending(c, v.index, "index", p.rows);
    return v;
}

}  // namespace so8t
