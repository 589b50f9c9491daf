// Reference: TestLibraryPlaces in native/places_test.go.
#include "places.h"

#include <dlfcn.h>
#include <glob.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <sstream>

namespace so8t {

namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

// A path inside a pattern.
std::string literal(const std::string& path) {
    std::string out;
    for (char c : path) {
        if (c == '*' || c == '?' || c == '[' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

std::string above(const std::string& path) { return path.substr(0, path.rfind('/')); }

// The program's path, and where it leads link by link: an environment's python3 is a link to the system's.
std::vector<std::string> chain_of(std::string path) {
    std::vector<std::string> all;
    char to[PATH_MAX];
    while (all.size() < 16 && access(path.c_str(), X_OK) == 0) {
        all.push_back(path);
        const ssize_t n = readlink(path.c_str(), to, sizeof to);
        if (n <= 0 || n == sizeof to) break;
        const std::string target(to, static_cast<size_t>(n));
        path = target[0] == '/' ? target : above(path) + "/" + target;
    }
    return all;
}

// The prefixes of the Python environments that python3 and python of PATH belong to.
std::vector<std::string> prefixes_of_path() {
    std::vector<std::string> all;
    for (const char* program : {"python3", "python"}) {
        std::istringstream path(variable("PATH"));
        for (std::string folder; std::getline(path, folder, ':');) {
            const auto chain = folder.empty() || folder[0] != '/' ? std::vector<std::string>() : chain_of(folder + "/" + program);
            for (const std::string& link : chain) all.push_back(literal(above(above(link))));
            if (!chain.empty()) break;
        }
    }
    return all;
}

std::vector<std::string> folders_of(const std::string& root) {
    std::vector<std::string> all;
    const auto add = [&](const std::string& folder) {
        if (std::find(all.begin(), all.end(), folder) == all.end()) all.push_back(folder);
    };
    // pip install nvidia-cublas, and what torch installs
    const auto add_wheels = [&](const std::string& prefix) {
        for (const char* packages : {"site-packages", "dist-packages"}) add(prefix + "/lib/python*/" + packages + "/nvidia/*/lib");
    };
    for (const char* name : {"CUDA_HOME", "CUDA_PATH"}) {
        const std::string home = literal(variable(name));
        if (home.empty()) continue;
        add(home + "/lib64");
        add(home + "/lib");
    }
    std::vector<std::string> environments;
    for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
        if (const std::string prefix = variable(name); !prefix.empty()) environments.push_back(literal(prefix));
    }
    for (const std::string& prefix : prefixes_of_path()) environments.push_back(prefix);
    for (const std::string& prefix : environments) {
        add_wheels(prefix);
        add(prefix + "/lib");  // conda install
    }
    add(literal(root) + "/usr/local/cuda*/lib64");
    add_wheels(literal(root) + "/usr/local");
    if (const std::string home = variable("HOME"); !home.empty()) add_wheels(literal(home) + "/.local");
    return all;
}

}  // namespace

Places library_places(const std::vector<std::string>& names, const std::string& root) {
    Places p;
    p.folders = folders_of(root);
    for (const std::string& name : names) {
        p.paths.push_back(name);
        for (const std::string& folder : p.folders) {
            glob_t found;
            if (glob((folder + "/" + name).c_str(), 0, nullptr, &found) != 0) continue;
            for (size_t i = 0; i < found.gl_pathc; i++) p.paths.emplace_back(found.gl_pathv[i]);
            globfree(&found);
        }
    }
    return p;
}

std::string Places::text(const std::vector<std::string>& names) const {
    constexpr size_t kLongest = 600;
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : " or ") + name;
    text += " in the loader's path";
    for (size_t i = 0; i < folders.size(); i++) {
        if (text.size() + folders[i].size() > kLongest) return text + " and " + std::to_string(folders.size() - i) + " more folders";
        text += ", " + folders[i];
    }
    return text;
}

void* open_library(const Places& places, std::string& problem) {
    for (const std::string& path : places.paths) {
        if (void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
        const char* why = dlerror();
        if (path[0] == '/' && why && problem.empty()) problem = why;
    }
    return nullptr;
}

}  // namespace so8t
