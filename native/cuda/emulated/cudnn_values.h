// Descriptors as the emulated cuDNN keeps them.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "cudnn.h"

namespace so8t::cudnn {

struct Object {
    int type;
    bool finished;
    std::map<int, std::vector<char>> attributes;

    bool has(int name) const { return attributes.count(name) > 0; }
    template <class T>
    std::vector<T> numbers(int name) const {
        std::vector<T> x;
        const auto at = attributes.find(name);
        if (at == attributes.end()) return x;
        x.resize(at->second.size() / sizeof(T));
        std::memcpy(x.data(), at->second.data(), x.size() * sizeof(T));
        return x;
    }
    template <class T>
    T number(int name) const {
        return numbers<T>(name).at(0);
    }
    bool truth(int name) const { return has(name) && attributes.at(name)[0]; }
    std::vector<Object*> objects(int name) const { return numbers<Object*>(name); }
    Object* object(int name) const { return has(name) ? number<Object*>(name) : nullptr; }

    // Of an operation.
    Object* output() const;
    std::vector<Object*> inputs() const;
};

struct Shape {
    int64_t dims[4], strides[4];
};
Shape shape_of(const Object& tensor);

// Runs a graph's operations on memory; returns what was wrong with it.
std::string run_graph(const Object& graph, const std::map<int64_t, void*>& addresses);

}  // namespace so8t::cudnn
