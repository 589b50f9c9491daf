#include "dropout.h"

#include <cmath>

namespace so8t {

Dropout dropout_of(const Buffers& c, const so8t_dropout& d, int64_t rows) {
    if (!(d.p >= 0 && d.p < 1)) fail("dropout p is %g", d.p);
    Dropout r;
    r.threshold = static_cast<uint32_t>(std::lround(d.p * 65536));
    if (r.threshold > 65535) fail("dropout p is %g", d.p);
    if (r.threshold == 0) return r;
    r.on = true;
    r.inverse = 1.0f / (1.0f - static_cast<float>(r.threshold) / 65536.0f);
    r.sample = c.vector(d.sample, "dropout.sample", rows, kI32).as<int32_t>();
    r.position = c.vector(d.position, "dropout.position", rows, kI32).as<int32_t>();
    uint32_t counter[4] = {static_cast<uint32_t>(d.step), static_cast<uint32_t>(d.step >> 32), d.layer, d.operation};
    philox(counter, static_cast<uint32_t>(d.seed), static_cast<uint32_t>(d.seed >> 32));
    r.key[0] = counter[0];
    r.key[1] = counter[1];
    return r;
}

}  // namespace so8t
