"""Legality of each command by itself, as isa.py says and a configuration executes it: `validate`'s first half.

Every check returns reasons as text; none raises, whatever the fields hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from intaglio.machine.commands import FORMATS
from intaglio.machine.config import ROUNDINGS, Config
from intaglio.machine.isa import (
    ELEMENTS,
    FIELDS,
    FIELDS_BY_NAME,
    Command,
    LocalMemory,
    Opcode,
    RoundingCode,
    conv_pixels,
    element_value,
)
from intaglio.machine.opcodes import ByOpcode
from intaglio.machine.timing import least_idle_cycles, least_tile_cycles
from intaglio.program.table import Table, table_of
from intaglio.verifier.conflicts import Touched, first_fault, touched_by
from intaglio.verifier.continuation import partial_words
from intaglio.verifier.footprint import MOST_ROWS

WORD = 1 << 32
SHIFTS = range(-31, 31)
_WHEN = ("wait", "signal", "tag")
"""Fields of the header that no rule looks at."""
_RESERVED = {opcode: [f.name for f in fields if f.reserved] for opcode, fields in FIELDS.items()}
_WEIGHTS = np.random.default_rng(0).integers(-(1 << 62), 1 << 62, max(map(len, FIELDS.values()))) | 1
"""Odd factors by which the fields of a command are summed, modulo 2**64."""


def examine(
    config: Config, commands: Sequence[Command], external_bytes: int
) -> tuple[Table, Touched, tuple[int, str] | None]:
    """(index, reason) of the first command that is not legal, or None; and of the commands, or of those before that one
    at least, the table and what they touch."""
    fault = None
    try:
        table = table_of(commands)
    except (ValueError, TypeError):
        fault = _not_encoded(commands)
        table = table_of(commands[: fault[0]])
    index = _first_illegal(config, commands, table)
    if index is not None:
        table, fault = table_of(commands[:index]), (index, next(rules(config, commands[index])))
    touched = touched_by(config, table)
    return table, touched, first_fault(config, commands, external_bytes, touched) or fault


def _first_illegal(config: Config, commands: Sequence[Command], table: Table) -> int | None:
    """The index of the first command in whose fields `rules` finds a fault. Commands that agree in all fields that
    rules look at are looked at once."""
    found = []
    for opcode, at in table.at.items():
        records = table.records[opcode]
        unseen = {*FORMATS[opcode].unseen, *_WHEN}
        looked_at = [f.name for f in FIELDS[opcode] if f.name not in unseen]
        fields = np.stack(
            [
                records[name] % config.bus_bytes if name in FORMATS[opcode].aligned else records[name]
                for name in looked_at
            ]
        )
        _, first, alike = np.unique(_WEIGHTS[: len(fields)] @ fields, return_index=True, return_inverse=True)
        if not np.array_equal(fields[:, first[alike]], fields):
            first = np.arange(len(at))  # the sums of different fields are equal, once in 2**64
        for index in at[first].tolist():
            seen = Command(opcode, {k: v for k, v in commands[index].fields.items() if k not in unseen})
            if next(rules(config, seen), None) is not None:
                found.append(index)
    return min(found, default=None)


def _not_encoded(commands: Sequence[Command]) -> tuple[int, str]:
    for index, command in enumerate(commands):
        try:
            command.words()
        except (ValueError, TypeError) as error:
            return index, f"cannot be encoded: {error}"
    raise AssertionError("every command can be encoded")


def faults(config: Config, command: Command, external_bytes: int) -> list[str]:
    """Why one command by itself is not legal: what is wrong with its fields, else with the bytes that it touches."""
    fault = examine(config, [command], external_bytes)[2]
    try:
        command.words()
    except (ValueError, TypeError):
        return [fault[1]] if fault else []
    return list(rules(config, command)) or ([fault[1]] if fault else [])


def rules(config: Config, command: Command) -> Iterator[str]:
    """Reasons in the fields of a command that can be encoded, wherever the bytes lie that it touches."""
    for name in FORMATS[command.opcode].counts:
        if command[name] < 1:
            yield f"{name} is 0"
            return
    yield from _formats(config, command)
    yield from _SPECIFIC[command.opcode](config, command)


def _formats(config: Config, c: Command) -> Iterator[str]:
    """Rules on operands' formats: they are built in, and hold their zero points and clamps."""
    if not any(map(c.fields.get, _RESERVED[c.opcode])):
        return  # INT8 throughout, whose values their fields hold and no other
    for field, names in ELEMENTS.items():
        if field not in FIELDS_BY_NAME[c.opcode]:
            continue
        built = config.weight_formats if field == "weight_format" else config.activation_formats
        form = next((known for known in built if known.code == c[field]), None)
        if form is None:
            yield f"{field} = {c[field]} is not built in ({', '.join(f'{f.code}: {f.name}' for f in built)})"
            continue
        for name in names:
            value = element_value(c, name)
            if not form.low <= value <= form.high:
                yield f"{name} = {value} is beyond {form.name}, {form.low} to {form.high}"


def _transfer(config: Config, c: Command) -> Iterator[str]:
    for name in ("external", "external_stride", "local", "local_stride", "row_bytes"):
        if c[name] % config.bus_bytes:
            yield f"{name} = {c[name]} is not a multiple of bus_bytes ({config.bus_bytes})"
    if c["memory"] not in LocalMemory._value2member_map_:
        yield f"memory = {c['memory']} is none"
    elif c["memory"] == LocalMemory.TABLE and not config.tables:
        yield "loads a table, configuration field tables is 0"
    elif c.opcode is Opcode.STORE and c["memory"] != LocalMemory.ACTIVATION:
        yield "stores from another memory than activations"
    if c["rows"] > MOST_ROWS:
        yield f"rows = {c['rows']} is more than {MOST_ROWS}"


def _output(config: Config, c: Command) -> Iterator[str]:
    if c["table"] > config.tables:
        yield f"table = {c['table']}, configuration field tables is {config.tables}"
    low, high = element_value(c, "clamp_min"), element_value(c, "clamp_max")
    if low > high:
        yield f"clamp_min = {low} is above clamp_max = {high}"
    if c["rounding"] not in RoundingCode._value2member_map_:
        yield f"rounding = {c['rounding']} is none"
    elif ROUNDINGS[c["rounding"]] not in config.rounding:
        yield f"rounding {ROUNDINGS[c['rounding']]!r} is not built in ({', '.join(config.rounding)})"


def _scales(c: Command, *names: str) -> Iterator[str]:
    if c["rounding"] == RoundingCode.FLOAT and 0 < c["mult_out"] < 1 << 30:
        yield f"mult_out = {c['mult_out']} is neither 0 nor at least 2**30, as FLOAT needs it"
    for name in names:
        if c[f"mult_{name}"] >= 1 << 31:
            yield f"mult_{name} = {c[f'mult_{name}']} is not below 2**31"
        if c[f"shift_{name}"] not in SHIFTS:
            yield f"shift_{name} = {c[f'shift_{name}']} is not in -31 to 30"


def _add(config: Config, c: Command) -> Iterator[str]:
    yield from _output(config, c)
    yield from _scales(c, "a", "b", "out")
    if c["rows"] > MOST_ROWS:
        yield f"rows = {c['rows']} is more than {MOST_ROWS}"


def _pool(config: Config, c: Command) -> Iterator[str]:
    yield from _output(config, c)
    yield from _scales(c, "out")
    if c["region_rows"] * c["kernel_rows"] > MOST_ROWS:
        yield f"reads more than {MOST_ROWS} rows"
    if c["resume"] or c["hold"]:
        if c["region_rows"] * c["region_cols"] > 1:
            yield f"has {c['region_rows'] * c['region_cols']} pixels, but only one may continue or keep its sums"
        if c["channels"] > config.slab_channels:
            yield f"channels = {c['channels']} is above slab_channels ({config.slab_channels}) in a part of a window"


def _conv(config: Config, c: Command) -> Iterator[str]:
    if c["weight_zero_point"] and not config.weight_zero_points:
        yield f"weight_zero_point = {c['weight_zero_point']}, but weight_zero_points is not built in"
    if c["drain_from"] < conv_pixels(c):
        yield from _output(config, c)
    for name, most, limit in (
        ("chunk_bytes", config.feed_bytes, "feed_bytes"),
        ("last_chunk_bytes", config.feed_bytes, "feed_bytes"),
        ("rows_per_tile", config.rows, "rows"),
        ("last_channels", config.cols, "cols"),
        ("last_pixels", c["rows_per_tile"], "rows_per_tile"),
    ):
        if c[name] > most:
            yield f"{name} = {c[name]} is above {limit} ({most})"
    most_rows = c["pixel_tiles"] * c["rows_per_tile"] // c["region_width"] + 1
    if most_rows * c["kernel_rows"] > MOST_ROWS:
        yield f"reads more than {MOST_ROWS} rows"
    words = partial_words(config, c)
    if words.start < words.stop > config.partial_words:
        yield (
            f"keeps or continues sums in words {words.start} to {words.stop - 1} of the partial-sum memory, which has "
            f"{config.partial_words}"
        )
    pixels = c["rows_per_tile"] if c["pixel_tiles"] > 1 else c["last_pixels"]
    if c["split"]:
        yield from _split(config, c)
    for slot, chunk in (("slot_cycles", "chunk_bytes"), ("last_slot_cycles", "last_chunk_bytes")):
        if (c["chunks"] > 1 or slot == "last_slot_cycles") and c[slot] < max(pixels, c[chunk]):
            yield f"{slot} = {c[slot]} is below {max(pixels, c[chunk])}, its pixels or {chunk}"
    runs = c["kernel_rows"] * c["kernel_cols"]
    cycles = runs * ((c["chunks"] - 1) * c["slot_cycles"] + c["last_slot_cycles"]) + c["idle_cycles"]
    least = least_tile_cycles(config, c)
    if cycles < least:
        yield f"a tile lasts {cycles} cycles, its results need {least}"
    stride, rest = divmod(c["kernel_row_step"], c["dilation_rows"])
    if rest or c["row_step"] != stride * c["stride_rows"] % WORD:
        yield "row_step, kernel_row_step, stride_rows and dilation_rows do not name one row stride"


def _split(config: Config, c: Command) -> Iterator[str]:
    """A reduction over two rows, of one output pixel, in an array with two weight lanes."""
    if config.lanes < 2:
        yield f"split = 1, but a second weight lane is not built in (weight_lanes {config.weight_lanes}, rows {config.rows})"
    for name, only in (("pixel_tiles", 1), ("rows_per_tile", 2), ("last_pixels", 2), ("region_width", 2)):
        if c[name] != only:
            yield f"{name} = {c[name]} is not {only}, as split needs it"
    if c["weight_base"] % 2:
        yield f"weight_base = {c['weight_base']} is odd, which split excludes"


_FAR, _FAR_ROWS = 1 << 31, 1 << 17
"""Bytes of a row and rows of an image, on either side of 0, that DEPTHWISE's sequencer counts without wrapping."""


def _depthwise(config: Config, c: Command) -> Iterator[str]:
    if not config.depthwise_delay:
        yield "is not built in (configuration field depthwise_delay is 0)"
        return
    if c["weight_zero_point"] and not config.weight_zero_points:
        yield f"weight_zero_point = {c['weight_zero_point']}, but weight_zero_points is not built in"
    yield from _output(config, c)
    width = min(config.cols, config.feed_bytes)
    for name, most, limit in (
        ("tile_channels", width, "cols and feed_bytes"),
        ("last_channels", c["tile_channels"], "tile_channels"),
        ("tile_pixels", config.rows, "rows"),
        ("last_patch_rows", c["patch_rows"], "patch_rows"),
        ("last_patch_cols", c["patch_cols"], "patch_cols"),
        ("tap_delay", config.depthwise_delay + 1, "depthwise_delay + 1"),
        ("patch_delay", config.depthwise_delay + 1, "depthwise_delay + 1"),
    ):
        if c[name] > most:
            yield f"{name} = {c[name]} is above {limit} ({most})"
    for pixels, rows in (("tile_pixels", "patch_rows"), ("last_tile_pixels", "last_patch_rows")):
        if c[pixels] != c[rows] * c["patch_cols"]:
            yield f"{pixels} = {c[pixels]} is not {rows} * patch_cols ({c[rows] * c['patch_cols']})"
    yield from _raster(c)
    if c["patches_down"] * c["raster_rows"] > MOST_ROWS or c["patches_across"] * c["raster_cols"] > MOST_ROWS:
        yield f"reads more than {MOST_ROWS} rows, or pixels of a row"
        return
    low = c["iy_start"]
    high = low + (c["patches_down"] - 1) * c["patch_iy_step"] + c["raster_rows"] * c["dilation_rows"]
    if low < -_FAR_ROWS or high >= _FAR_ROWS:
        yield f"looks for rows {low} to {high}, beyond -2**17 to 2**17 - 1"
    across = (c["patches_across"] - 1) * c["patch_x_step"] + c["raster_cols"] * c["x_step"]
    if c["x_start"] + across >= _FAR:
        yield f"looks for bytes {c['x_start']} to {c['x_start'] + across} of a row, beyond 2**31 - 1"
    least = least_idle_cycles(config, c)
    if c["idle_cycles"] < least:
        yield f"idle_cycles = {c['idle_cycles']}, its results need {least}"


def _raster(c: Command) -> Iterator[str]:
    """Rules on the raster: the delays bring tap (y - i * s, x - j * t) and pixel (y, x) together in row (i, j), and it
    has the pixels of every row in use and no more."""
    across = c["tap_delay"] if c["patch_cols"] > 1 else 0
    if c["raster_cols"] != (c["patch_cols"] - 1) * across + c["kernel_cols"]:
        yield f"raster_cols = {c['raster_cols']} is not (patch_cols - 1) * tap_delay + kernel_cols"
    down, rest = 0, 0
    if c["patch_rows"] > 1:
        down, rest = divmod(c["patch_delay"] + (c["patch_cols"] - 1) * across, c["raster_cols"])
        if rest or not down:
            yield f"patch_delay = {c['patch_delay']} is not a multiple of raster_cols less (patch_cols - 1) * tap_delay"
            return
    for raster, rows in (("raster_rows", "patch_rows"), ("last_raster_rows", "last_patch_rows")):
        if c[raster] != (c[rows] - 1) * down + c["kernel_rows"]:
            yield f"{raster} = {c[raster]} is not {(c[rows] - 1) * down + c['kernel_rows']}, as the delays and {rows} have it"


_SPECIFIC: ByOpcode[Callable[[Config, Command], Iterator[str]]] = ByOpcode(
    "legality",
    {
        Opcode.LOAD: _transfer,
        Opcode.STORE: _transfer,
        Opcode.CONV: _conv,
        Opcode.ADD: _add,
        Opcode.POOL: _pool,
        Opcode.DEPTHWISE: _depthwise,
    },
)
