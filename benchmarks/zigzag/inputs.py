"""What ZigZag gets: the array and its memories, a layer and how it lies on the array, as its YAML formats have them.

The machine is edge256's kind: 16 x 16 elements that each keep their sum, operands moving through the array a step a cycle;
buffers of 64 KiB for weights, 64 KiB for activations and 32 KiB for sums, each loaded while the array reads it; 64 bits a cycle of
external memory. Energies in pJ: 0.2 a MAC, 0.005 a bit of a register, 0.1 of a buffer, 4 of external memory.
"""

from __future__ import annotations

from typing import Any

from benchmarks.zigzag.layers import Shape

ROWS = COLS = 16
KIB = 8 * 1024
MAC, REGISTER, BUFFER, EXTERNAL = 0.2, 0.005, 0.1, 4.0
PLANE = ["D1", "D2"]
MEMORY_OF = {"O": "O", "W": "I2", "I": "I1"}
"""ZigZag's names of a layer's operands, and of a memory's."""


def machine() -> dict[str, Any]:
    """The accelerator's description. D1: the array's rows, D2: its columns. Memories stand from the array outwards."""
    memories = {
        "register_W": _memory("W", 8, (8, 8), REGISTER, []),
        "register_I": _memory("I", 8, (8, 8), REGISTER, []),
        "register_O": _memory("O", 32, (32, 32), REGISTER, []),
        "buffer_W": _memory("W", 64 * KIB, (8 * COLS, 64), BUFFER, PLANE),
        "buffer_I": _memory("I", 64 * KIB, (16 * ROWS, 64), BUFFER, PLANE),
        "buffer_O": _memory("O", 32 * KIB, (32 * COLS, 32 * COLS), BUFFER, PLANE),
    }
    directions = {"W": ("fh", "tl"), "I": ("fh", "tl"), "O": ("fh", "tl", "fl", "th")}
    allocation = [f"{MEMORY_OF[x]}, {way}" for x, ways in directions.items() for way in ways]
    external = {
        "size": 1 << 40,
        "r_cost": 64 * EXTERNAL,
        "w_cost": 64 * EXTERNAL,
        "area": 0.0,
        "latency": 1,
        "operands": list(MEMORY_OF.values()),
        "ports": [_port("rw_port_1", "read_write", 64, allocation)],
        "served_dimensions": PLANE,
    }
    array = {
        "unit_energy": MAC,
        "unit_area": 0.0,
        "dimensions": PLANE,
        "sizes": [ROWS, COLS],
        "systolic_dimensions": PLANE,
    }
    return {"name": "edge256_like", "memories": {**memories, "external": external}, "operational_array": array}


def _memory(operand: str, bits: int, width: tuple[int, int], energy: float, served: list[str]) -> dict[str, Any]:
    """width: bits a cycle of each read and each write port. energy: pJ a bit."""
    name = MEMORY_OF[operand]
    read, write = width
    ports = [_port("r_port_1", "read", read, [f"{name}, tl"]), _port("w_port_1", "write", write, [f"{name}, fh"])]
    if operand == "O":  # sums also come back from above, and go up
        ports += [_port("r_port_2", "read", read, [f"{name}, th"]), _port("w_port_2", "write", write, [f"{name}, fl"])]
    return {
        "size": bits,
        "r_cost": energy * read,
        "w_cost": energy * write,
        "area": 0.0,
        "latency": 1,
        "operands": [name],
        "ports": ports,
        "served_dimensions": served,
        "force_double_buffering": bool(served),
    }


def _port(name: str, kind: str, bits: int, allocation: list[str]) -> dict[str, Any]:
    least = min(bits, 64 if kind == "read_write" else 8)
    return {"name": name, "type": kind, "bandwidth_min": least, "bandwidth_max": bits, "allocation": allocation}


def workload(shape: Shape) -> list[dict[str, Any]]:
    """One layer: int8 operands, sums of 32 bits, results of 8."""
    loops = shape.loops()
    return [
        {
            "id": 0,
            "name": "layer",
            "operator_type": "Conv",
            "equation": "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]",
            "dimension_relations": [f"ix={shape.stride}*ox+1*fx", f"iy={shape.stride}*oy+1*fy"],
            "loop_dims": list(loops),
            "loop_sizes": list(loops.values()),
            "operand_precision": {"W": 8, "I": 8, "O": 32, "O_final": 8},
            "pr_loop_dims": ["IX", "IY"],
            "pr_loop_sizes": [shape.cols, shape.rows],
            "padding": [[shape.padding, shape.padding]] * 2,
        }
    ]


def spatial(shape: Shape) -> dict[str, dict[str, int]]:
    """Our array's: output pixels on rows, in the rectangle that takes the fewest tiles, the smallest of those and then the
    widest; output channels on columns."""
    rectangles = [(x, y) for x in range(1, ROWS + 1) for y in range(1, ROWS // x + 1)]
    x, y = min(rectangles, key=lambda r: (-(-shape.out_cols // r[0]) * -(-shape.out_rows // r[1]), r[0] * r[1], -r[0]))
    pixels = {dimension: n for dimension, n in (("OX", x), ("OY", y)) if n > 1} or {"OX": 1}
    channels = "G" if shape.groups > 1 else "K"
    return {"D1": pixels, "D2": {channels: min(COLS, shape.outputs)}}


def mapping(shape: Shape) -> list[dict[str, Any]]:
    """The part of a mapping that is given; ZigZag finds the order of the loops."""
    on = {axis: [f"{dimension}, {n}" for dimension, n in of.items()] for axis, of in spatial(shape).items()}
    return [{"name": "default", "spatial_mapping": on, "memory_operand_links": MEMORY_OF}]
