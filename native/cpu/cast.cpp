// y = x in another float format; x = 0.
#include <cstring>

#include "checks/rows.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

void zero(Context& c, const so8t_zero_params& p) {
    const View x = check(c, p).x;
    const int64_t size = dtype_bytes(x.dtype);
    if (x.stride == p.columns || p.rows == 1) {
        // Contiguous memory, in units of 1 MiB.
        const int64_t bytes = p.rows * p.columns * size, unit = 1 << 20;
        c.parallel(ceil_div(bytes, unit),
                   [&](int64_t i, Worker&) { std::memset(x.data + i * unit, 0, static_cast<size_t>(bytes - i * unit < unit ? bytes - i * unit : unit)); });
        return;
    }
    const int64_t per = rows_per_unit(p.columns);
    c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
        for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
            std::memset(x.data + i * x.stride * size, 0, static_cast<size_t>(p.columns * size));
        }
    });
}

void cast(Context& c, const so8t_cast_params& p) {
    const CastViews v = check(c, p);
    // Columns are split too: the parameters of an adapter are one long row.
    const int64_t width = 65536, parts = ceil_div(p.columns, width), per = rows_per_unit(p.columns);
    by_float(v.x.dtype, [&](auto from) {
        by_float(v.y.dtype, [&](auto to) {
            using X = decltype(from);
            using Y = decltype(to);
            c.parallel(ceil_div(p.rows, per) * parts, [&](int64_t unit, Worker&) {
                const int64_t begin = unit % parts * width, n = p.columns - begin < width ? p.columns - begin : width, first = unit / parts * per;
                for (int64_t i = first; i < p.rows && i < first + per; i++) {
                    const X* a = v.x.row<X>(i) + begin;
                    Y* b = v.y.row<Y>(i) + begin;
                    for_vectors(n, [&](int64_t j, auto k) { store(b + j, load(a + j, k), k); });
                }
            });
        });
    });
}

}  // namespace so8t::SO8T_ISA
