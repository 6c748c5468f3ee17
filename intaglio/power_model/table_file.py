"""Reads tables: YAML, one entry for each constant, every fault refused by the entry's and the field's name."""

from __future__ import annotations

import re
import reprlib
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import yaml

from intaglio.errors import InputError
from intaglio.files import read_bytes
from intaglio.power_model.table import ENTRIES, IDLE, MEMORIES, OPERATIONS, Band, Entry, Table
from intaglio.unique_keys import UniqueKeys

LARGEST_TABLE = 1 << 18
"""Bytes of a table's file."""
DEFAULT_TABLE = "horowitz45"

_JOULE = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3}  # in pJ
_WATT = {"nW": 1e-9, "uW": 1e-6, "mW": 1e-3, "W": 1.0}
_PER = {"leakage_sram": "/KiB", "clock_int8_element": "/MHz", "clock_fp32_element": "/MHz"}
_LEAST, _MOST = 1e-9, 1e9  # of any figure in any unit: sums of products stay finite and exact enough
_FIELDS = ("value", "band", "unit", "node_nm", "voltage", "source", "note")


def shipped_tables() -> list[str]:
    folder = resources.files("intaglio") / "power_model" / "tables"
    return sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".yaml"))


def load_table(table: str | Path = DEFAULT_TABLE) -> Table:
    """A shipped table by name, or a YAML file by path. Raises InputError that names the file, the entry, the value
    and what is allowed."""
    shipped = shipped_tables()
    where = f"table {table}"
    if str(table) in shipped:
        text = (resources.files("intaglio") / "power_model" / "tables" / f"{table}.yaml").read_text()
    else:
        data = read_bytes(Path(table), f"give a YAML file or one of {', '.join(shipped)}", LARGEST_TABLE)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise InputError(f"{where}: not a text file; a table is YAML, see docs/energy.md") from None
    try:
        content = yaml.load(text, UniqueKeys)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{where}: not YAML ({' '.join(str(error).split())[:300]}); see docs/energy.md") from None
    return _table(content, where)


def _refuse(where: str, field: str, value: Any, allowed: str) -> NoReturn:
    raise InputError(f"{where}: {field} = {reprlib.repr(value)}: must be {allowed}")


def _table(content: Any, where: str) -> Table:
    if not isinstance(content, dict):
        raise InputError(f"{where}: a table is a mapping of name, node_nm, voltage and entries; see docs/energy.md")
    _keys(content, ("name", "node_nm", "voltage", "entries"), where)
    name = _text(content, "name", where)
    node, voltage = _positive(content, "node_nm", where), _positive(content, "voltage", where)
    entries = content["entries"]
    if not isinstance(entries, dict):
        _refuse(where, "entries", entries, f"a mapping of {', '.join(ENTRIES)}")
    for key in entries:
        if key not in ENTRIES:
            raise InputError(f"{where}: unknown entry {reprlib.repr(key)}; the entries are {', '.join(ENTRIES)}")
    read = {}
    for key in ENTRIES:
        if key not in entries:
            raise InputError(
                f"{where}: entry {key} is missing; a table has {', '.join(ENTRIES)}, and idle ones that "
                f"the source does not have with value: null and a note"
            )
        read[key] = _entry(key, entries[key], f"{where}, entry {key}")
    for key, entry in read.items():
        # The external memory is a chip of its own.
        if key != "dram" and (entry.node_nm, entry.voltage) != (node, voltage):
            raise InputError(
                f"{where}, entry {key}: is of {entry.node_nm:g} nm and {entry.voltage:g} V, the table of {node:g} nm "
                f"and {voltage:g} V; two nodes do not mix: take one source, or scale its entries and say so in source"
            )
    for kind in ("leakage", "clock"):
        pair = [f"{kind}_{element}_element" for element in ("int8", "fp32")]
        if len({read[key].price is None for key in pair}) > 1:
            raise InputError(
                f"{where}: entries {pair[0]} and {pair[1]}: one has a value and the other has none, which "
                f"would charge one side only; give both or neither"
            )
    return Table(name, node, voltage, read)


def _entry(key: str, content: Any, where: str) -> Entry:
    if not isinstance(content, dict):
        _refuse(where, "the entry", content, f"a mapping of {', '.join(_FIELDS)}")
    null = key in IDLE and content.get("value", 0) is None
    first = ("points",) if key == "sram" else ("value",) if null else ("value", "band")
    _keys(content, (*first, *_FIELDS[2:]), where)
    unit = content["unit"]
    factor = _factor(key, unit, where)
    price: Band | None = None
    points: tuple[tuple[int, Band], ...] = ()
    if null:
        given = "not in the source"
    elif key == "sram":
        points = _points(content["points"], factor, where)
        given = "; ".join(f"{size} bytes: {_given(p)}" for (size, _), p in zip(points, content["points"], strict=True))
    else:
        price = _band(content, key not in IDLE, where).times(factor)
        given = _given(content)
    return Entry(
        key,
        price,
        points,
        given,
        unit,
        _positive(content, "node_nm", where),
        _positive(content, "voltage", where),
        _text(content, "source", where),
        _text(content, "note", where),
    )


def _given(content: dict[str, Any]) -> str:
    low, high = content["band"]
    return f"{content['value']:g} ({low:g} to {high:g})" if low != high else f"{content['value']:g}"


def _factor(key: str, unit: Any, where: str) -> float:
    """Factor from `unit` to pJ (operations), pJ a bit (memories), W, W/KiB or W/MHz (idle)."""
    per = _PER.get(key, "")
    if key in OPERATIONS and isinstance(unit, str) and unit in _JOULE:
        return _JOULE[unit]
    if key in MEMORIES and isinstance(unit, str):
        parts = re.fullmatch(r"([fpn]J)/([1-9][0-9]{0,3})?bit", unit)
        if parts:
            return _JOULE[parts[1]] / int(parts[2] or 1)
    if key in IDLE and isinstance(unit, str) and unit.endswith(per) and unit.removesuffix(per) in _WATT:
        return _WATT[unit.removesuffix(per)]
    if key in OPERATIONS:
        allowed = "fJ, pJ or nJ, an operation"
    elif key in MEMORIES:
        allowed = "fJ, pJ or nJ for a number of bits, as pJ/bit or pJ/64bit"
    else:
        allowed = " or ".join(f"{watt}{per}" for watt in _WATT)
    _refuse(where, "unit", unit, allowed)


def _points(points: Any, factor: float, where: str) -> tuple[tuple[int, Band], ...]:
    if not isinstance(points, list) or len(points) < 2 or not all(isinstance(p, dict) for p in points):
        _refuse(where, "points", points, "a list of at least two mappings of bytes, value, band")
    out: list[tuple[int, Band]] = []
    for i, point in enumerate(points):
        at = f"{where}, points[{i}]"
        _keys(point, ("bytes", "value", "band"), at)
        size = point["bytes"]
        if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= 1 << 40:
            _refuse(at, "bytes", size, "a whole number of bytes from 1")
        if out and size <= out[-1][0]:
            _refuse(at, "bytes", size, f"more than the {out[-1][0]} of the point before")
        out.append((size, _band(point, True, at).times(factor)))
    return tuple(out)


def _band(content: dict[str, Any], positive: bool, where: str) -> Band:
    value = _number(content, "value", where, positive)
    band = content["band"]
    if not isinstance(band, list) or len(band) != 2:
        _refuse(where, "band", band, "[low, high] in the same unit; [value, value] where the source gives no band")
    low, high = (_number({f"band[{i}]": end}, f"band[{i}]", where, positive) for i, end in enumerate(band))
    if not low <= value <= high:
        _refuse(where, "band", band, f"[low, high] around the value {value:g}")
    return Band(value, low, high)


def _keys(content: dict[Any, Any], names: tuple[str, ...], where: str) -> None:
    for key in content:
        if key not in names:
            raise InputError(f"{where}: unknown field {reprlib.repr(key)}; the fields are {', '.join(names)}")
    for name in names:
        if name not in content:
            raise InputError(f"{where}: field {name} is missing; the fields are {', '.join(names)}")


def _positive(content: dict[str, Any], field: str, where: str) -> float:
    return _number(content, field, where, True)


def _number(content: dict[str, Any], field: str, where: str, positive: bool) -> float:
    value = content[field]
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if known and (_LEAST <= value <= _MOST or (value == 0 and not positive)):
        return float(value)
    least = "above 0" if positive else "0 or more"
    _refuse(where, field, value, f"a number, {least}, from {_LEAST:g} to {_MOST:g}")


def _text(content: dict[str, Any], field: str, where: str) -> str:
    value = content[field]
    if not isinstance(value, str) or not value.strip():
        _refuse(where, field, value, "text that is not empty")
    return " ".join(value.split())
