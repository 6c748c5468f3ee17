// What Verilator's FST writer calls of zlib, so that waves need no package of the host: the format of RFC 1950
// with stored blocks (RFC 1951, 3.2.4). The writer keeps its own bytes where these are no fewer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

using Bytef = unsigned char;
using uLong = unsigned long;
using uLongf = unsigned long;
constexpr int Z_OK = 0;
constexpr int Z_BUF_ERROR = -5;

inline uLong compressBound(uLong size) { return size + 5 * (size / 65535 + 1) + 6; }

inline int compress2(Bytef* target, uLongf* target_size, const Bytef* source, uLong size, int) {
    if (*target_size < compressBound(size)) return Z_BUF_ERROR;
    Bytef* out = target;
    *out++ = 0x78;
    *out++ = 0x01;
    uint32_t a = 1, b = 0;
    for (uLong at = 0; at < size || at == 0;) {
        const uLong left = size - at;
        const uint16_t count = static_cast<uint16_t>(left < 65535 ? left : 65535);
        *out++ = at + count == size;
        for (const uint16_t value : {count, static_cast<uint16_t>(~count)}) {
            *out++ = static_cast<Bytef>(value);
            *out++ = static_cast<Bytef>(value >> 8);
        }
        if (count) std::memcpy(out, source + at, count);
        out += count;
        for (uLong i = at; i < at + count; ++i) {
            a = (a + source[i]) % 65521;
            b = (b + a) % 65521;
        }
        at += count;
        if (!count) break;
    }
    for (const uint32_t half : {b, a}) {
        *out++ = static_cast<Bytef>(half >> 8);
        *out++ = static_cast<Bytef>(half);
    }
    *target_size = out - target;
    return Z_OK;
}
