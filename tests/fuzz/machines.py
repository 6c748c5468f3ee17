"""Machines over the whole legal range of every field, as the plain values of a YAML file.

Of 100: 30 are shipped ones with up to three fields changed, 30 have every field drawn by itself, 25 have the smallest
buffers that their array allows (or next to it), 15 are such as people build (powers of two, buffers in proportion).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

from intaglio.machine.config import ROUNDINGS, Config, next_power_of_two
from intaglio.machine.config_files import config_from_dict, load_config, shipped_names

Fields = dict[str, Any]
LARGEST_BUFFER = 16 << 20
"""Bytes, the configuration's own limit."""
MOST_ELEMENTS = 512
"""Processing elements of a machine whose RTL is simulated."""


def draw_machine(rng: np.random.Generator) -> Fields:
    """Fields of a legal configuration."""
    kind = rng.choice(["shipped", "any", "smallest", "usual"], p=[0.3, 0.3, 0.25, 0.15])
    fields = {"shipped": _shipped, "any": _any, "smallest": _smallest, "usual": _usual}[str(kind)](rng)
    return whole(fields)  # a refusal is a fault of the drawing


def draw_small_machine(rng: np.random.Generator) -> Fields:
    """One that compiles in seconds: of at most MOST_ELEMENTS, 64 columns and 1 MiB on chip."""
    while True:
        fields = draw_machine(rng)
        config = machine_of(fields)
        if config.macs_per_cycle <= MOST_ELEMENTS and config.cols <= 64 and config.on_chip_bytes <= 1 << 20:
            return fields


def machine_of(fields: Fields) -> Config:
    return config_from_dict(fields, "drawn machine")


def whole(fields: Fields) -> Fields:
    """With the defaults of what is left out."""
    return machine_of(fields).to_dict()


def log_uniform(rng: np.random.Generator, low: int, high: int) -> int:
    """low to high, both included."""
    return min(high, max(low, round(math.exp(rng.uniform(math.log(low), math.log(high + 0.5))))))


def least_sizes(fields: Fields) -> Fields:
    """The smallest legal value and the unit of each buffer for a machine's other fields, as the configuration computes them."""
    rows, cols, requantizers = fields["rows"], fields["cols"], fields["requantizers"]
    groups = -(-cols // requantizers)
    half = max(fields["feed_bytes"], fields["bus_bytes"])
    lanes = min(fields["weight_lanes"], rows)
    weights = max(lanes * next_power_of_two(cols), fields["bus_bytes"])
    channels = max(16 * next_power_of_two(requantizers), fields["bus_bytes"])
    return {
        "activation_bytes": (8 * half * fields["activation_banks"], 2 * half * fields["activation_banks"]),
        "weight_bytes": (4 * weights, weights),
        "channel_bytes": (groups * channels, channels),
        "partial_bytes": (rows * groups * 4 * requantizers, 4 * requantizers),
    }


def least_feed(fields: Fields) -> int:
    return max(4, next_power_of_two(2 * max(fields["rows"], fields["requantizers"])))


def _memory(rng: np.random.Generator, bus: int) -> Fields:
    return {
        "bytes_per_cycle": int(rng.choice([bus, 1, rng.integers(1, bus + 1)], p=[0.5, 0.15, 0.35])),
        "latency": int(rng.choice([32, 1, log_uniform(rng, 1, 10000)], p=[0.4, 0.2, 0.4])),
        "outstanding": int(rng.choice([8, 1, 16, rng.integers(1, 17)], p=[0.4, 0.15, 0.15, 0.3])),
    }


def _rounding(rng: np.random.Generator) -> list[str]:
    """Mostly all; in any order, now and then one list too short for some networks."""
    order = [str(name) for name in rng.permutation(ROUNDINGS)]
    kind = rng.choice(["all", "permuted", "tflite", "some"], p=[0.7, 0.17, 0.08, 0.05])
    if kind == "all":
        return list(ROUNDINGS)
    if kind == "tflite":
        return [name for name in order if name != "float"]
    return order if kind == "permuted" else order[: int(rng.integers(1, 4))]


def _options(rng: np.random.Generator, fields: Fields) -> None:
    fields["rounding"] = _rounding(rng)
    fields["weight_zero_points"] = bool(rng.random() < 0.93)
    fields["weight_lanes"] = int(rng.choice([1, 2], p=[0.3, 0.7]))
    fields["depthwise_delay"] = int(rng.choice([16, 0, 2, 4, 8, 32, 64, 128, 256], p=[0.3, 0.14] + 7 * [0.08]))


def _array(rng: np.random.Generator, usual: bool) -> Fields:
    if usual:
        rows, cols = (1 << int(rng.integers(0, most)) for most in (7, 8))
        requantizers = max(1, cols >> int(rng.integers(0, 3)))
    else:
        rows, cols = log_uniform(rng, 1, 64), log_uniform(rng, 1, 128)
        requantizers = int(rng.choice([cols, 1, log_uniform(rng, 1, cols)], p=[0.25, 0.15, 0.6]))
    return {"name": "drawn", "rows": rows, "cols": cols, "requantizers": requantizers}


def _rest(rng: np.random.Generator, fields: Fields, size: Callable[[str, int, int], int]) -> Fields:
    """Everything but the array. size: a buffer's bytes from its name, least value and unit."""
    fields["bus_bytes"] = int(rng.choice([4, 8, 16, 32, 64], p=[0.2, 0.4, 0.2, 0.1, 0.1]))
    fields["memory"] = _memory(rng, fields["bus_bytes"])
    least = least_feed(fields)
    fields["feed_bytes"] = min(256, least << int(rng.choice([0, 1, 2, 3], p=[0.6, 0.2, 0.1, 0.1])))
    fields["activation_banks"] = int(rng.choice([1, 2, 4, 3, 5, 6, 7, 8], p=[0.15, 0.3, 0.2] + 5 * [0.07]))
    _options(rng, fields)
    for name, (low, unit) in least_sizes(fields).items():
        fields[name] = size(name, low, unit)
    # Of a copy: what is drawn after it, and so what a seed means, stays.
    rng = deepcopy(rng)
    fields["counters"], fields["add_multipliers"] = (rng.random(2) < (0.9, 0.6)).tolist()
    fields["multipliers"] = _multipliers(rng, fields["rows"])
    fields["tables"] = int(rng.choice([0, 1, 2, 4, 8]))
    return fields


def _multipliers(rng: np.random.Generator, rows: int) -> str | int:
    """Now and then all rows but one, or one alone."""
    some = int(rng.choice([1, rows - 1, rng.integers(1, max(2, rows))])) if rows > 1 else "lut"
    return (some, "dsp", "lut", "packed")[rng.choice(4, p=[0.2, 0.3, 0.2, 0.3])]


def _power(value: int, unit: int) -> int:
    """The greatest number of units that is a power of two, up to value, as the activation memory's banks ask for."""
    return unit << max(2, (value // unit).bit_length() - 1)


def _fitting(name: str, value: int, low: int, unit: int) -> int:
    value = min(max(value, low), LARGEST_BUFFER)
    return _power(value, unit) if name == "activation_bytes" else value // unit * unit


def _any(rng: np.random.Generator) -> Fields:
    def size(name: str, low: int, unit: int) -> int:
        high = min(LARGEST_BUFFER, max(4 * low, 1 << 21)) if rng.random() < 0.9 else LARGEST_BUFFER
        return _fitting(name, log_uniform(rng, low, high), low, unit)

    return _rest(rng, _array(rng, usual=False), size)


def _smallest(rng: np.random.Generator) -> Fields:
    free = rng.random() < 0.5  # one buffer of another size
    other = str(rng.choice(["activation_bytes", "weight_bytes", "channel_bytes", "partial_bytes"]))

    def size(name: str, low: int, unit: int) -> int:
        if free and name == other:
            return _fitting(name, log_uniform(rng, low, 1 << 18) if low < 1 << 18 else low, low, unit)
        factor = int(rng.choice([1, 2, 4, 8], p=[0.5, 0.2, 0.2, 0.1]))
        return _fitting(name, low + unit if factor == 2 and name != "activation_bytes" else low * factor, low, unit)

    return _rest(rng, _array(rng, usual=bool(rng.random() < 0.6)), size)


def _usual(rng: np.random.Generator) -> Fields:
    fields = _array(rng, usual=True)
    scale = max(1, int(fields["rows"] * fields["cols"] * 2.0 ** rng.integers(-2, 3)))
    sizes = {
        "activation_bytes": 512 * scale,
        "weight_bytes": 432 * scale,
        "channel_bytes": 512 * fields["cols"],
        "partial_bytes": 16 * scale,
    }
    return _rest(rng, fields, lambda name, low, unit: _fitting(name, sizes[name], low, unit))


def _shipped(rng: np.random.Generator) -> Fields:
    fields = load_config(str(rng.choice(shipped_names()))).to_dict()
    changes = [
        "rows",
        "cols",
        "requantizers",
        "feed_bytes",
        "activation_bytes",
        "activation_banks",
        "weight_bytes",
        "channel_bytes",
        "partial_bytes",
        "bus_bytes",
        "memory",
        "options",
    ]
    for change in rng.choice(changes, int(rng.choice([0, 1, 2, 3], p=[0.15, 0.45, 0.25, 0.15])), replace=False):
        _change(rng, fields, str(change))
    return legalized(fields)


def _change(rng: np.random.Generator, fields: Fields, change: str) -> None:
    match change:
        case "rows":
            fields["rows"] = log_uniform(rng, 1, 64)
            fields["feed_bytes"] = fields["partial_bytes"] = 0
        case "cols":
            fields["cols"] = log_uniform(rng, 1, 128)
            fields["partial_bytes"] = 0
        case "requantizers":
            fields["requantizers"] = log_uniform(rng, 1, fields["cols"])
            fields["feed_bytes"] = fields["partial_bytes"] = 0
        case "feed_bytes":
            fields["feed_bytes"] = min(256, fields["feed_bytes"] << int(rng.integers(1, 4)))
        case "activation_banks":
            fields["activation_banks"] = int(rng.integers(1, 9))
        case "bus_bytes":
            fields["bus_bytes"] = int(rng.choice([4, 8, 16, 32, 64]))
        case "memory":
            fields["memory"] = _memory(rng, fields["bus_bytes"])
        case "options":
            _options(rng, fields)
        case _:
            fields[change] = max(1, int(fields[change] * 2.0 ** rng.integers(-7, 4)))


def legalized(fields: Fields) -> Fields:
    """The nearest legal configuration: 0 for what follows, what is too large or small to its limit, sizes to whole units."""
    fields = {**fields, "memory": dict(fields["memory"])}
    fields["requantizers"] = min(fields["requantizers"], fields["cols"])
    feed = fields["feed_bytes"]
    fields["feed_bytes"] = min(256, max(feed and next_power_of_two(feed), least_feed(fields)))
    if not fields["partial_bytes"]:
        fields["partial_bytes"] = 4 * least_sizes(fields)["partial_bytes"][0]
    if isinstance(fields["multipliers"], int) and fields["multipliers"] >= fields["rows"]:
        fields["multipliers"] = "dsp"
    for name, (low, unit) in least_sizes(fields).items():
        fields[name] = _fitting(name, fields[name], low, unit)
    fields["memory"]["bytes_per_cycle"] = min(fields["memory"]["bytes_per_cycle"], fields["bus_bytes"])
    return fields
