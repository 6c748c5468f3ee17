// What Verilator's FST writer calls of LZ4, so that waves need no package of the host.
// The block format is that of https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md: greedy matches of at
// least 4 bytes out of one hash table.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

namespace intaglio_lz4 {
inline uint32_t word(const uint8_t* at) {
    uint32_t value;
    std::memcpy(&value, at, 4);
    return value;
}
inline uint8_t* length(uint8_t* out, size_t rest) {
    for (; rest >= 255; rest -= 255) *out++ = 255;
    *out++ = static_cast<uint8_t>(rest);
    return out;
}
// One sequence: literals, then a match of `match` bytes `offset` back; match 0 ends the block.
inline uint8_t* sequence(uint8_t* out, const uint8_t* literals, size_t count, size_t offset, size_t match) {
    const size_t extra = match ? match - 4 : 0;
    *out++ = static_cast<uint8_t>((count < 15 ? count : 15) << 4 | (extra < 15 ? extra : 15));
    if (count >= 15) out = length(out, count - 15);
    if (count) std::memcpy(out, literals, count);
    out += count;
    if (!match) return out;
    *out++ = static_cast<uint8_t>(offset);
    *out++ = static_cast<uint8_t>(offset >> 8);
    return extra >= 15 ? length(out, extra - 15) : out;
}
}  // namespace intaglio_lz4

// Returns the compressed size. capacity is at least LZ4_compressBound(size), as the writer has it.
inline int LZ4_compress_default(const char* source, char* target, int size, int capacity) {
    using namespace intaglio_lz4;
    if (size < 0 || capacity < LZ4_compressBound(size)) return 0;
    const uint8_t* const in = reinterpret_cast<const uint8_t*>(source);
    uint8_t* out = reinterpret_cast<uint8_t*>(target);
    constexpr int BITS = 14;
    // A match begins at least 12 bytes before the end, and leaves the last 5 bytes as literals.
    const int last_start = size - 12, last_end = size - 5;
    std::vector<int> seen(1 << BITS, -1);
    int done = 0;
    for (int at = 0; at <= last_start;) {
        const uint32_t now = word(in + at);
        int& slot = seen[now * 2654435761U >> (32 - BITS)];
        const int before = slot;
        slot = at;
        if (before < 0 || at - before > 65535 || word(in + before) != now) {
            ++at;
            continue;
        }
        int match = 4;
        while (at + match < last_end && in[before + match] == in[at + match]) ++match;
        out = sequence(out, in + done, at - done, at - before, match);
        at += match;
        done = at;
    }
    out = sequence(out, in + done, size - done, 0, 0);
    return static_cast<int>(out - reinterpret_cast<uint8_t*>(target));
}
