// index[i] = the first column of the largest value of row i; NaN ranks below every number.
#include <cmath>

#include "checks/logits.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

void argmax(Context& c, const so8t_argmax_params& p) {
    const ArgmaxViews v = check(c, p);
    by_compute(v.x.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(p.rows, [&](int64_t i, Worker&) {
            const T* row = v.x.row<T>(i);
            // The largest of a stretch of columns first; its column is searched only if it beats the best so far.
            constexpr int64_t stretch = 256;
            int64_t at = 0;
            while (at < p.columns && std::isnan(to_float(row[at]))) at++;
            float best = at < p.columns ? to_float(row[at]) : 0;
            for (int64_t begin = at / stretch * stretch; begin < p.columns; begin += stretch) {
                const int64_t n = p.columns - begin < stretch ? p.columns - begin : stretch;
                vf m = set(best);
                int64_t j = 0;
                for (; j + W <= n; j += W) m = max(load(row + begin + j), m);  // in this order a NaN is passed over
                float top = largest(m);
                for (; j < n; j++) top = to_float(row[begin + j]) > top ? to_float(row[begin + j]) : top;
                if (!(top > best)) continue;
                best = top;
                for (j = 0; j < n; j++) {
                    if (to_float(row[begin + j]) == top) {
                        at = begin + j;
                        break;
                    }
                }
            }
            v.index.as<int32_t>()[i] = static_cast<int32_t>(at < p.columns ? at : 0);
        });
    });
}

}  // namespace so8t::SO8T_ISA
