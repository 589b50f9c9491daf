// Where NVIDIA's libraries may lie on a machine: none is linked, so that this library opens without them.
#pragma once

#include <string>
#include <vector>

namespace so8t {

struct Places {
    std::vector<std::string> paths;    // to try in this order: bare names, which the loader looks for, and files that exist
    std::vector<std::string> folders;  // looked into, as patterns

    // "libX.so.2 or libX.so.1 in the loader's path, /usr/local/cuda*/lib64, ...", shortened if there are many.
    std::string text(const std::vector<std::string>& names) const;
};

// Of several names the earlier one wins wherever it lies. Looks at CUDA_HOME, CUDA_PATH, the Python environments that are active
// (VIRTUAL_ENV, CONDA_PREFIX) or whose python3 or python PATH has, and the system's folders below `root`. Starts no process.
Places library_places(const std::vector<std::string>& names, const std::string& root = "");

// The handle of the first that loads. Null, and what the loader says of a file that exists, where none does.
void* open_library(const Places& places, std::string& problem);

}  // namespace so8t
