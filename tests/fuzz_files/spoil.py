"""Ways to spoil a file: bytes anywhere, numbers and lines of text, values inside JSON, entries of an .npz, fields of a protobuf
message. All draw from a given generator alone, so a seed gives the same file again."""

from __future__ import annotations

import base64
import io
import json
import random
import re
import warnings
import zipfile
from typing import Any

NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    127,
    128,
    255,
    256,
    4095,
    65535,
    65536,
    2**31 - 1,
    -(2**31),
    2**32 - 1,
    2**32,
    2**53,
    2**63 - 1,
    2**64,
    10**30,
)
TEXTS = (
    "",
    "x",
    "\0",
    "é",
    "\x1b[2J\u202e",
    "../x",
    "/dev/zero",
    "nan",
    "inf",
    "1e400",
    "0x10",
    "&a [*a, *a]",
    "!!python/none",
    "---",
    "null",
    "[" * 300,
    "a" * 3000,
    "2001-99-99",
    "*",
    "~",
)
VALUES: tuple[Any, ...] = (*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], 0.5, -0.0, 1e308, {"": 0})


def spoil_bytes(rng: random.Random, data: bytes) -> bytes:
    """One to six changes of bytes, words, stretches, or a cut."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        if not out:
            break
        at, kind = rng.randrange(len(out)), rng.randrange(9)
        length = min(rng.choice((1, 2, 4, 8, 64, 1024)), len(out) - at)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.randrange(256)
        elif kind in (2, 3):
            size = rng.choice((2, 4, 8))
            out[at : at + size] = (rng.choice(NUMBERS) % (1 << 8 * size)).to_bytes(size, "little")
        elif kind == 4:
            del out[at : at + length]
        elif kind == 5:
            out[at:at] = out[at : at + length]
        elif kind == 6:
            out[at : at + length] = bytes(length)
        elif kind == 7:
            other = rng.randrange(len(out))
            out[at : at + length] = out[other : other + length]
        elif rng.random() < 0.5:
            del out[at:]
        else:
            out[at:at] = rng.randbytes(length)
    return bytes(out)


def spoil_text(rng: random.Random, data: bytes) -> bytes:
    """Numbers, words and lines of a text."""
    text = data.decode()
    for _ in range(rng.choice((1, 1, 2, 4))):
        kind = rng.randrange(6)
        if kind in (0, 1):
            found = list(re.finditer(r"-?\d+(\.\d+)?", text))
            new = str(rng.choice(NUMBERS) if rng.random() < 0.8 else rng.choice(TEXTS))
        elif kind == 2:
            found = list(re.finditer(r"[A-Za-z_]+", text))
            new = rng.choice(TEXTS)
        elif kind == 3:
            found = list(re.finditer(r".*\n", text))
            new = rng.choice(("", found[0].group() * 2 if found else "x", "x: 1\n"))
        elif kind == 4:
            found = list(re.finditer(r"[\[\]{}:,\"' \n]", text))
            new = rng.choice("[]{}:,\"' \n\t&*!|>%@`")
        else:
            return spoil_bytes(rng, text.encode(errors="surrogatepass"))
        if found:
            match = rng.choice(found)
            text = text[: match.start()] + new + text[match.end() :]
    return text.encode(errors="surrogatepass")


def spoil_json(rng: random.Random, data: bytes) -> bytes:
    """Values anywhere in a document, and words of a mapping's commands."""
    if rng.random() < 0.25:
        return spoil_text(rng, data)
    document = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if (
            rng.random() < 0.5
            and isinstance(document.get("program"), dict)
            and isinstance(document["program"].get("code"), str)
        ):
            code = bytearray(base64.b64decode(document["program"]["code"]))
            if code:
                at = rng.randrange(len(code) // 4) * 4
                word = int.from_bytes(code[at : at + 4], "little")
                word = rng.choice((word ^ 1 << rng.randrange(32), rng.randrange(2**32), rng.choice(NUMBERS) % 2**32))
                code[at : at + 4] = word.to_bytes(4, "little")
            document["program"]["code"] = base64.b64encode(code).decode()
            continue
        holder: Any = document
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(holder[key], dict | list) and rng.random() < 0.85:
                holder = holder[key]
                continue
            if rng.random() < 0.15:
                del holder[key]
            else:
                holder[key] = rng.choice(VALUES)
            break
    return json.dumps(document).encode()


def spoil_npz(rng: random.Random, data: bytes) -> bytes:
    """Bytes of the file; or entries, which are packed again so that the zip is good."""
    if rng.random() < 0.4:
        return spoil_bytes(rng, data)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        entries = [(name, file.read(name)) for name in file.namelist()]
    index = rng.randrange(len(entries))
    name, content = entries[index]
    kind = rng.randrange(7)
    if kind == 0:
        content = spoil_bytes(rng, content)
    elif kind == 1:
        header, rest = content[:128], content[128:]
        found = list(re.finditer(rb"\d+", header[10:]))
        match = rng.choice(found)
        new = str(rng.choice(NUMBERS)).encode()
        header = header[: 10 + match.start()] + new + header[10 + match.end() :]
        content = header[:128].ljust(128) + rest
    elif kind == 2:
        content = content.replace(
            b"'|i1'", rng.choice((b"'|u1'", b"'|O8'", b"'<f4'", b"'|V0'", b"'<U9'", b"'<i8'", b"'|b1'"))
        )
    elif kind == 3:
        name = rng.choice((*TEXTS[1:6], "inputs.npy", "labels.npy", "file.npy", name * 2))
    elif kind == 4:
        content = content[:128] + bytes(rng.choice((0, 1, 10**6, 50 * 10**6)))
    elif kind == 5:
        del entries[index]
        entries.append((name, content))
    entries[min(index, len(entries) - 1)] = (name, content)
    out = io.BytesIO()
    warnings.filterwarnings("ignore", "Duplicate name")
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))) as file:
        for entry, value in entries:
            file.writestr(entry.replace("\0", "_"), value)
    return out.getvalue()


def spoil_onnx(rng: random.Random, data: bytes) -> bytes:
    """Bytes; or fields of the message, which is written again."""
    if rng.random() < 0.4:
        return spoil_bytes(rng, data)
    import onnx

    model = onnx.ModelProto.FromString(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        _spoil_message(rng, model)
    return model.SerializeToString()


def _spoil_message(rng: random.Random, message: Any) -> None:
    while True:
        fields = message.ListFields()
        if not fields:
            return
        field, value = rng.choice(fields)
        many = not isinstance(value, int | float | str | bytes) and hasattr(value, "__len__")
        inner = hasattr(value[0], "ListFields") if many and len(value) else hasattr(value, "ListFields")
        if inner and rng.random() < 0.9:
            message = rng.choice(value) if many else value
            continue
        try:
            if rng.random() < 0.2:
                message.ClearField(field.name)
            elif many:
                at = rng.randrange(len(value))
                kind = rng.randrange(3)
                if kind == 0:
                    del value[at]
                elif inner and kind == 1:
                    value.add().CopyFrom(value[at])
                elif not inner:
                    value[at] = _other(rng, value[at])
            elif not inner:
                setattr(message, field.name, _other(rng, value))
        except (ValueError, TypeError, OverflowError):
            pass
        return


def _other(rng: random.Random, value: Any) -> Any:
    if isinstance(value, bytes):
        return spoil_bytes(rng, value[:100_000])
    if isinstance(value, str):
        return rng.choice(TEXTS)
    if isinstance(value, float):
        return rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf"), 1e-45))
    return rng.choice(NUMBERS)
