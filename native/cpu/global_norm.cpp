// norm = sqrt(sum of squares): partial sums of fixed stretches, added in order in float64.
#include <cmath>

#include "checks/optimizer.h"
#include "operations.h"

namespace so8t::SO8T_ISA {

void global_norm(Context& c, const so8t_global_norm_params& p) {
    const GlobalNormViews views = check(c, p);
    constexpr int64_t stretch = 16384;
    const int64_t units = ceil_div(p.n, stretch);
    std::unique_ptr<double[]> partial(new double[static_cast<size_t>(units)]);
    c.parallel(units, [&](int64_t unit, Worker&) {
        const float* v = views.x.as<float>() + unit * stretch;
        const int64_t n = p.n - unit * stretch < stretch ? p.n - unit * stretch : stretch;
        double total = 0;
        // float32 sums of 256 numbers, float64 sums of those.
        for (int64_t begin = 0; begin < n; begin += 256) {
            vf s = set(0);
            for_vectors(n - begin < 256 ? n - begin : 256, [&](int64_t j, auto k) {
                const vf a = load(v + begin + j, k);
                s = fma(a, a, s);
            });
            total += sum(s);
        }
        partial[static_cast<size_t>(unit)] = total;
    });
    double total = 0;
    for (int64_t i = 0; i < units; i++) total += partial[static_cast<size_t>(i)];
    views.norm.as<float>()[0] = static_cast<float>(std::sqrt(total));
}

}  // namespace so8t::SO8T_ISA
