// A draw from softmax(x / temperature) cut to its nucleus. Holtzman et al., arXiv 1904.09751.
#include <algorithm>
#include <cmath>

#include "checks/logits.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

void sample(Context& c, const so8t_sample_params& p) {
    const SampleViews v = check(c, p);
    const float* u = v.u.as<float>();
    int32_t* index = v.index.as<int32_t>();
    c.parallel(p.rows, [&](int64_t i, Worker& w) {
        const float* row = v.x.row<float>(i);
        const double most = *std::max_element(row, row + p.columns);
        double* weight = w.take<double>(p.columns);
        double total = 0;
        for (int64_t j = 0; j < p.columns; j++) total += weight[j] = std::exp((row[j] - most) / p.temperature);
        float least = -INFINITY;  // of the nucleus
        double mass = total;
        if (p.top_p < 1) {
            float* sorted = w.take<float>(p.columns);
            std::copy(row, row + p.columns, sorted);
            std::sort(sorted, sorted + p.columns, std::greater<float>());
            double sum = 0;
            for (int64_t j = 0; j < p.columns && sum < p.top_p * total; j++) {
                sum += std::exp((sorted[j] - most) / p.temperature);
                least = sorted[j];
            }
            mass = 0;
            for (int64_t j = 0; j < p.columns; j++) mass += row[j] >= least ? weight[j] : 0;
        }
        double sum = 0;
        int64_t last = 0;
        for (int64_t j = 0; j < p.columns; j++) {
            if (!(row[j] >= least)) continue;
            last = j;  // the last kept one, if rounding leaves the sum below u * mass
            sum += weight[j];
            if (sum > u[i] * mass) break;
        }
        index[i] = static_cast<int32_t>(last);
    });
}

}  // namespace so8t::SO8T_ISA
