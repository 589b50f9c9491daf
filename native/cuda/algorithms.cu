#include "algorithms.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "buffers.h"

namespace so8t {

namespace {

constexpr size_t kAlgoBytes = 64;

// FNV-1a, 64 bits: enough to recognize a torn line.
std::string sum_of(const std::string& text) {
    uint64_t h = 0xCBF29CE484222325u;
    for (unsigned char c : text) h = (h ^ c) * 0x100000001B3u;
    char hex[17];
    std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(h));
    return hex;
}

constexpr const char* kBetween = " | ";

}  // namespace

void Algorithms::open(const std::string& path, const std::string& prefix) {
    path_ = path;
    prefix_ = prefix + kBetween;
    read();
}

// What was appended since, by any process; the last line may still be being written.
void Algorithms::read() {
    if (path_.empty()) return;
    std::ifstream file(path_, std::ios::binary);
    file.seekg(read_);
    for (std::string line; std::getline(file, line) && !file.eof();) {
        read_ += static_cast<int64_t>(line.size()) + 1;
        const size_t last = line.rfind(kBetween), before = last == std::string::npos ? last : line.rfind(kBetween, last - 1);
        if (before == std::string::npos || line.substr(last + 3) != sum_of(line.substr(0, last)) || line.compare(0, prefix_.size(), prefix_) != 0) continue;
        const std::string algo = line.substr(before + 3, last - before - 3);
        if (before < prefix_.size() || algo.size() != 2 * kAlgoBytes) continue;
        known_.emplace(line.substr(prefix_.size(), before - prefix_.size()), algo);  // of several the first counts
    }
}

bool Algorithms::find(const std::string& product, void* algo) {
    auto it = known_.find(product);
    if (it == known_.end()) {
        read();
        it = known_.find(product);
    }
    if (it == known_.end()) return false;
    unsigned char* bytes = static_cast<unsigned char*>(algo);
    for (size_t i = 0; i < kAlgoBytes; i++) bytes[i] = static_cast<unsigned char>(std::stoi(it->second.substr(2 * i, 2), nullptr, 16));
    return true;
}

void Algorithms::add(const std::string& product, void* algo) {
    std::string hex(2 * kAlgoBytes, '0');
    for (size_t i = 0; i < kAlgoBytes; i++) std::snprintf(&hex[2 * i], 3, "%02x", static_cast<unsigned char*>(algo)[i]);
    hex.resize(2 * kAlgoBytes);
    if (path_.empty()) {
        known_.emplace(product, hex);
        return;
    }
    const std::string text = prefix_ + product + kBetween + hex;
    // Begins with a newline in case the last line is torn.
    const std::string line = "\n" + text + kBetween + sum_of(text) + "\n";
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const bool written = fd >= 0 && ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && ::fsync(fd) == 0;
    const int error = errno;
    if (fd >= 0) ::close(fd);
    if (!written) file_failed("algorithms %s: %s", path_.c_str(), std::strerror(error));
    find(product, algo);
}

}  // namespace so8t
