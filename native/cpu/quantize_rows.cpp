// LLM.int8's weight format: q = round_half_even(x * (127 / absmax)) by rows, w = q * absmax / 127.
// Dettmers et al., arXiv 2208.07339; rounding as bitsandbytes' int8_vectorwise_quant.
#include <cstring>

#include "checks/rows.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

void quantize_rows(Context& c, const so8t_quantize_rows_params& p) {
    const QuantizeRowsViews v = check(c, p);
    const int64_t per = rows_per_unit(p.columns);
    by_float(v.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
            for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
                const T* row = v.x.row<T>(i);
                vf most = set(0);
                for_vectors(p.columns, [&](int64_t j, auto n) { most = max(most, abs(load(row + j, n))); });
                const float largest_value = largest(most);
                v.absmax.as<float>()[i] = largest_value;
                int8_t* out = v.q.row<int8_t>(i);
                if (!(largest_value > 0)) {
                    std::memset(out, 0, static_cast<size_t>(p.columns));
                    continue;
                }
                // torch computes 127 / absmax as 127 * (1 / absmax): these three roundings decide bitsandbytes' ties.
                const vf factor = set(1.0f / largest_value * 127.0f);
                for_vectors(p.columns, [&](int64_t j, auto n) { store_int8(out + j, load(row + j, n) * factor, n); });
            }
        });
    });
}

void dequantize_rows(Context& c, const so8t_dequantize_rows_params& p) {
    const DequantizeRowsViews v = check(c, p);
    const int64_t per = rows_per_unit(p.columns);
    by_compute(v.y.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(ceil_div(p.rows, per), [&](int64_t unit, Worker&) {
            for (int64_t i = unit * per; i < p.rows && i < (unit + 1) * per; i++) {
                const vf scale = set(v.absmax.as<float>()[i] / 127.0f);
                for_vectors(p.columns, [&](int64_t j, auto n) { store(v.y.row<T>(i) + j, load(v.q.row<int8_t>(i) + j, n) * scale, n); });
            }
        });
    });
}

}  // namespace so8t::SO8T_ISA
