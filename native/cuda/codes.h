// The code books of so8t_adamw's 8-bit states as tables from a 16-bit position to a code; kept while they are the same.
#pragma once

#include <cstdint>
#include <vector>

namespace so8t {

struct CodeBooks {};

}  // namespace so8t
