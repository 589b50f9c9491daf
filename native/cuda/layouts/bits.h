// The floats whose conversion both programs print: signs, exponents and ties of every kind.
#pragma once

#include <cstdint>
#include <cstring>

constexpr int kFloats = 4096;

inline float float_at(int i) {
    static const uint32_t special[] = {0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345, 0x7F800001,
                                       0x7F7FFFFF, 0x3F808000, 0x3F818000, 0x3F80FFFF, 0x00000001, 0x007FFFFF, 0x80008000};
    constexpr int specials = sizeof special / sizeof special[0];
    const uint32_t u = i < specials ? special[i] : static_cast<uint32_t>(i) * 2654435761u & (i % 2 ? ~0u : ~0x7FFFu);
    float f;
    std::memcpy(&f, &u, 4);
    return f;
}
