#include "cublaslt.h"

#include <dlfcn.h>
#include <glob.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "errors.h"
#if defined(SO8T_EMULATED)
#include "cuda_runtime.h"
#endif

namespace so8t::cublaslt {

namespace {

[[noreturn]] void missing(const std::string& tried) {
    device_failed(
        "cuBLASLt was not found: install the CUDA toolkit and set CUDA_HOME, or pip install nvidia-cublas in the worker's virtual environment "
        "(looked for %s)",
        tried.c_str());
}

}  // namespace

#if defined(SO8T_EMULATED)

void require() {
    if (emulated::fault("cublas_missing")) missing("libcublasLt.so.13");
}

#else

namespace {

// Paths to try, the loader's own first.
std::vector<std::string> places() {
    std::vector<std::string> all;
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12"}) {
        all.emplace_back(name);
        for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
            if (const char* home = std::getenv(variable)) {
                for (const char* lib : {"/lib64/", "/lib/"}) all.push_back(std::string(home) + lib + name);
            }
        }
        all.push_back(std::string("/usr/local/cuda/lib64/") + name);
        // pip install nvidia-cublas
        if (const char* environment = std::getenv("VIRTUAL_ENV")) {
            glob_t found;
            const std::string pattern = std::string(environment) + "/lib/python*/site-packages/nvidia/*/lib/" + name;
            if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
                for (size_t i = 0; i < found.gl_pathc; i++) all.emplace_back(found.gl_pathv[i]);
                globfree(&found);
            }
        }
    }
    return all;
}

Api open() {
    void* library = nullptr;
    std::string tried;
    for (const std::string& path : places()) {
        library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library) break;
        tried += (tried.empty() ? "" : ", ") + path;
    }
    if (!library) missing(tried);
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

void require() { api(); }

#endif

}  // namespace so8t::cublaslt
