// The file of chosen algorithms: a line "card | cuBLASLt's version | product | 64 bytes, hexadecimal | sum". Whoever has
// it computes the same bits again. A line that a power cut tore is left out, and its choice is made anew.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace so8t {

class Algorithms {
public:
    // Reads the file; none is no fault. An empty path keeps choices in memory only.
    void open(const std::string& path, const std::string& prefix);
    // Whether product was chosen before; algo: 64 bytes.
    bool find(const std::string& product, void* algo) const;
    // On disk before it returns.
    void add(const std::string& product, const void* algo);

private:
    std::string path_, prefix_;
    std::map<std::string, std::string> known_;
};

}  // namespace so8t
