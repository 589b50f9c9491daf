// The file of chosen algorithms: a line "card | cuBLASLt's version | product | 64 bytes, hexadecimal | sum". A run that has
// it computes the same bits again. A line torn by a power cut is skipped, and its product timed again.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace so8t {

class Algorithms {
public:
    // Reads the file, if it exists. With an empty path algorithms are remembered in memory only.
    void open(const std::string& path, const std::string& prefix);
    // Copies the product's algorithm, 64 bytes, if one was chosen before.
    bool find(const std::string& product, void* algo) const;
    // Whether the card has chosen none yet.
    bool empty() const { return known_.empty(); }
    // Returns once the line is on disk.
    void add(const std::string& product, const void* algo);

private:
    std::string path_, prefix_;
    std::map<std::string, std::string> known_;
};

}  // namespace so8t
