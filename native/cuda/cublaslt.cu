#include "cublaslt.h"

#include <dlfcn.h>

#include <string>
#include <vector>

#include "errors.h"
#include "places.h"
#if defined(SO8T_EMULATED)
#include "cuda_runtime.h"
#endif

namespace so8t::cublaslt {

namespace {

const std::vector<std::string> kNames = {"libcublasLt.so.13", "libcublasLt.so.12"};

[[noreturn]] void missing(const Places& places, const std::string& problem) {
    device_failed(
        "cuBLASLt was not found: install the CUDA toolkit and set CUDA_HOME, or pip install nvidia-cublas in the worker's virtual environment "
        "(%s%slooked for %s)",
        problem.c_str(), problem.empty() ? "" : "; ", places.text(kNames).c_str());
}

}  // namespace

#if defined(SO8T_EMULATED)

#define X(name, result, parameters) result emulated_##name parameters;  // emulated/cublaslt.cpp
SO8T_CUBLASLT(X)
#undef X

const Api& api() {
    if (emulated::fault("cublas_missing")) missing(library_places(kNames), "");
    static const Api a = [] {
        Api a;
#define X(name, result, parameters) a.name = emulated_##name;
        SO8T_CUBLASLT(X)
#undef X
        return a;
    }();
    return a;
}

#else

namespace {

Api open() {
    const Places places = library_places(kNames);
    std::string problem;
    void* library = open_library(places, problem);
    if (!library) missing(places, problem);
    Api a;
#define X(name, result, parameters)                                                    \
    a.name = reinterpret_cast<result(*) parameters>(dlsym(library, "cublasLt" #name)); \
    if (!a.name) device_failed("cuBLASLt has no cublasLt" #name);
    SO8T_CUBLASLT(X)
#undef X
    return a;
}

}  // namespace

const Api& api() {
    static const Api a = open();
    return a;
}

#endif

void require() { api(); }

}  // namespace so8t::cublaslt
