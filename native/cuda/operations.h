// The operations; each is defined in the file named after it.
#pragma once

#include <cstdlib>
#include <type_traits>

#include "context.h"
#include "device.h"

namespace so8t::cuda {

#define OPERATION(name, params) void name(Context&, const so8t_##params##_params&);
#include "operations.def"
#undef OPERATION

// Whether kernels overlap. No GPU has run it yet: off, unless SO8T_CUDA_OVERLAP is 1. Cards between 9.0 and 12.0 run the
// PTX of 8.0 (see Makefile), whose kernels do not wait.
inline bool overlaps(const Context& c) {
    static const char* wanted = std::getenv("SO8T_CUDA_OVERLAP");
    return wanted && wanted[0] == '1' && (c.capability == 90 || c.capability >= 120);
}

#if !defined(SO8T_EMULATED)
// Launches a kernel whose blocks, where kernels overlap, may take their places while the last ones of the kernel before still work; they wait at
// wait_for_previous, their first statement: programmatic dependent launch, CUDA C++ Programming Guide. Decoding's kernels are
// so short that their launches count.
template <class... Parameters, class... Arguments>
void launch_next(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, const Context& c, const Arguments&... arguments) {
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = c.stream;
    config.attrs = &overlap;
    config.numAttrs = overlaps(c) ? 1 : 0;
    check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), "cudaLaunchKernelEx");
}
#endif

// Whether every row begins on a 16-byte boundary.
inline bool wide(const View& v) { return reinterpret_cast<uintptr_t>(v.data) % 16 == 0 && v.stride * dtype_bytes(v.dtype) % 16 == 0; }
template <class... Views>
bool wide(const View& v, const Views&... more) {
    return wide(v) && wide(more...);
}

// f(integral_constant<int, V>): as many elements of T as 16 bytes hold if the views are wide and columns a multiple, else 1.
template <class T, class F, class... Views>
void by_width(int64_t columns, F&& f, const Views&... views) {
    constexpr int V = 16 / sizeof(T);
    if (columns % V == 0 && wide(views...)) {
        f(std::integral_constant<int, V>{});
    } else {
        f(std::integral_constant<int, 1>{});
    }
}

}  // namespace so8t::cuda
