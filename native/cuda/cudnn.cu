#include "cudnn.h"

#include <dlfcn.h>

#include "places.h"

namespace so8t::cudnn {

#if defined(SO8T_EMULATED)
// emulated/cudnn.cpp
const Api* emulated_api(std::string& why);
const Api* find(std::string& why) { return emulated_api(why); }
#else

namespace {

struct Found {
    Api api;
    bool there = false;
    std::string why;
};

Found open() {
    const std::vector<std::string> names = {"libcudnn.so.9"};
    const Places places = library_places(names);
    Found f;
    std::string problem;
    void* library = open_library(places, problem);
    if (!library) {
        f.why = "cuDNN was not found: pip install nvidia-cudnn-cu13 in the worker's virtual environment (" + problem + (problem.empty() ? "" : "; ") +
                "looked for " + places.text(names) + ")";
        return f;
    }
#define X(name, result, parameters)                                                     \
    f.api.name = reinterpret_cast<result(*) parameters>(dlsym(library, "cudnn" #name)); \
    if (!f.api.name) {                                                                  \
        f.why = "cuDNN has no cudnn" #name;                                             \
        return f;                                                                       \
    }
    SO8T_CUDNN(X)
#undef X
    f.there = true;
    return f;
}

}  // namespace

const Api* find(std::string& why) {
    static const Found f = open();
    why = f.why;
    return f.there ? &f.api : nullptr;
}

#endif

}  // namespace so8t::cudnn
