// index[i] = the first column of the largest value of row i.
#include "operations.h"

namespace so8t::SO8T_ISA {

void argmax(Context& c, const so8t_argmax_params& p) {
    check_size("rows", p.rows);
    check_size("columns", p.columns, 1);
    const View x = c.matrix(p.x, "x", p.rows, p.columns, kCompute);
    const View index = c.vector(p.index, "index", p.rows, kI32);
    if (p.columns > INT32_MAX) fail("columns is %lld", static_cast<long long>(p.columns));
    by_compute(x.dtype, [&](auto tag) {
        using T = decltype(tag);
        c.parallel(p.rows, [&](int64_t i, Worker&) {
            const T* row = x.row<T>(i);
            // The largest of each stretch first; only a stretch that beats the best so far is looked at one by one.
            constexpr int64_t stretch = 256;
            float best = to_float(row[0]);
            int64_t at = 0;
            for (int64_t begin = 0; begin < p.columns; begin += stretch) {
                const int64_t n = p.columns - begin < stretch ? p.columns - begin : stretch;
                vf m = set(best);
                int64_t j = 0;
                for (; j + W <= n; j += W) m = max(m, load(row + begin + j));
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
            index.as<int32_t>()[i] = static_cast<int32_t>(at);
        });
    });
}

}  // namespace so8t::SO8T_ISA
