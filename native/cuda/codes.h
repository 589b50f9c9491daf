// Kept for the context's member: so8t_adamw makes its tables of codes anew each time (adamw.cu says why).
#pragma once

namespace so8t {

struct CodeBooks {};

}  // namespace so8t
