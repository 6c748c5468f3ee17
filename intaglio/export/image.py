"""External memory's first bytes as files."""

from __future__ import annotations


def hex_words(image: bytes, word_bytes: int) -> str:
    """For $readmemh: a comment that states the width, then one word a line, the byte with the highest address first.
    The last word is filled up with zeros."""
    padded = image + bytes(-len(image) % word_bytes)
    words = [padded[i : i + word_bytes][::-1].hex() for i in range(0, len(padded), word_bytes)]
    return f"// {len(words)} words of {8 * word_bytes} bits, little endian, from offset 0\n" + "\n".join(words) + "\n"
