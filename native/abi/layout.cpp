// The ABI's constants and the layout of its structs as text, for a binding to compare with its own.
#include <cstddef>
#include <cstdio>
#include <string>

#include "so8t.h"

namespace {

void line(std::string& s, const char* name, size_t size) {
    char text[128];
    std::snprintf(text, sizeof text, "%s %zu\n", name, size);
    s += text;
}

void line(std::string& s, const char* name, size_t offset, size_t size) {
    char text[128];
    std::snprintf(text, sizeof text, "%s %zu %zu\n", name, offset, size);
    s += text;
}

std::string layout() {
    std::string s;
#define CONSTANT(name) s += std::string(#name) + " = " + std::to_string(int(name)) + "\n";
#define STRUCT(name) line(s, #name, sizeof(name));
#define FIELD(name, field) line(s, #name "." #field, offsetof(name, field), sizeof(static_cast<name*>(nullptr)->field));
#include "layout.def"
#undef CONSTANT
#undef STRUCT
#undef FIELD
    return s;
}

}  // namespace

extern "C" SO8T_API const char* so8t_layout(void) {
    try {
        static const std::string text = layout();
        return text.c_str();
    } catch (...) {
        return "";
    }
}
