"""Which fast tests hold which file of the hardware."""

from __future__ import annotations


def core(words: str = "") -> list[str]:
    """The core's commands whose tests have one of these words in their names."""
    join = " or ".join(words.split())
    chosen = f' -k "{join}"' if words else ""
    return ["tests/hw/test_core.py" + chosen]


def verilated(words: str) -> str:
    """The same of the blocks in Verilator."""
    return f'tests/cocotb/test_cocotb_units.py -k "{words}"'


SYSTEM = [
    'tests/hw/test_system_cycles.py -k "1-8-3-100-16 or 1-16-16-10-2 or 1-4-1-20-4"',  # quick ones, one burst a time to sixteen
    "tests/hw/test_system_errors.py",
]
SIZES = ["tests/hw/test_memory_sizes.py"]
WIDTHS = ["tests/hw/test_rtlil_widths.py", "tests/hw/test_verilog.py"]
MIXED, CONV, PATCHES, VECTOR = "among sums", "among sums short", "among patches", "among slabs window"
LARGEST = ["tests/sim/test_largest_commands.py"]

BLOCKS: dict[str, list[str]] = {
    "accelerator": SYSTEM,
    "add_path": [*core(VECTOR), *LARGEST],
    "activation_memory": ["tests/hw/test_activation_memory.py", *SIZES, *core(MIXED)],
    "arbiter": ["tests/hw/test_arbiter.py", *SYSTEM],
    "array_path": core(f"{CONV} patches"),
    "array": [*core(f"{CONV} patches"), verilated("array"), *LARGEST],
    "axi": ["tests/hw/test_registers.py", *SYSTEM],
    "binary32": ["tests/hw/test_requantizer.py"],
    "bursts": ["tests/hw/test_bursts.py", "tests/hw/test_load.py", "tests/hw/test_store.py"],
    "tile_passes": core(f"{CONV} patches"),
    "command_view": core(MIXED),
    "config": ["tests/machine/test_config.py", *core(MIXED)],
    "conv_feed": [*core(CONV), *LARGEST],
    "core": core(MIXED),
    "counters": ["tests/hw/test_registers.py", *SYSTEM],
    "depthwise_feed": [*core(PATCHES), *LARGEST],
    "digit_product": ["tests/hw/test_digit_product.py"],
    "dispatch": ["tests/hw/test_fetch_dispatch.py", *SYSTEM],
    "drain": [*SIZES, *core(f"{CONV} patches")],
    "drain_writer": [*SIZES, *core(f"{CONV} patches")],
    "faults": ["tests/hw/test_registers.py", "tests/hw/test_system_errors.py"],
    "feed_rows": core(f"{CONV} patches"),
    "feed_step": core(f"{CONV} patches"),
    "fetch": ["tests/hw/test_fetch_dispatch.py", *SYSTEM],
    "isa": ["tests/machine/test_isa.py", "tests/hw/test_fetch_dispatch.py", *core(MIXED), *LARGEST],
    "ledger": ["tests/hw/test_counters.py", "tests/hw/test_watchdog.py", *SYSTEM],
    "load": ["tests/hw/test_load.py", verilated("load"), *SYSTEM],
    "mult18x18d": ["tests/hw/test_mult18x18d.py"],
    "names": ["tests/hw/test_verilog.py"],
    "nest": ["tests/hw/test_nest.py", *core(MIXED)],
    "output_pass": core(MIXED),
    "padding": core(f"{CONV} patches slabs"),
    "partial_memory": [*SIZES, *core("sums short")],
    "packed_products": ["tests/hw/test_packed_products.py", verilated("array")],
    "patch_reader": [*core(PATCHES), *LARGEST],
    "pipeline": ["tests/hw/test_pipeline.py", *core(MIXED)],
    "pixel_reader": [*core(CONV), *LARGEST],
    "pool_path": [*core(VECTOR), *LARGEST],
    "product": ["tests/hw/test_ram_product.py", "tests/hw/test_requantizer.py"],
    "ram": ["tests/hw/test_ram_product.py", *SIZES],
    "queues": ["tests/hw/test_fetch_dispatch.py", *SYSTEM],
    "latency": [*SYSTEM, *core(MIXED)],
    "limits": SYSTEM,
    "formats": core(MIXED),
    "memory": ["tests/sim/memory/test_memory_models.py"],
    "fields": ["tests/machine/test_isa.py"],
    "operand_scale": [verilated("operand"), *core(VECTOR)],
    "opcodes": ["tests/machine/test_isa.py", "tests/machine/test_by_opcode.py"],
    "clock": ["tests/machine/test_config.py"],
    "released": [*SYSTEM, "tests/export/test_known_answer.py"],
    "signal_names": ["tests/hw/test_verilog.py"],
    "turnover": [*core(MIXED), *SYSTEM],
    "verilog_text": ["tests/hw/test_verilog.py"],
    "registers": ["tests/hw/test_registers.py", *SYSTEM],
    "requantizers": core(MIXED),
    "row_delay": ["tests/hw/test_row_delay.py", *core(PATCHES)],
    "row_product": ["tests/machine/test_config.py", "tests/hw/test_packed_products.py"],
    "row_request": [*core(CONV), *LARGEST],
    "rtlil_widths": WIDTHS,
    "scale": ["tests/hw/test_requantizer.py", *core(MIXED)],
    "step_memory": [*SIZES, *core(CONV)],
    "store": ["tests/hw/test_store.py", verilated("store"), *SYSTEM],
    "chips": ["tests/fpga/test_blocks.py", "tests/machine/test_clock.py"],
    "config_files": ["tests/machine/test_config.py", "tests/cli/test_read_and_written_files.py"],
    "target": ["tests/hw/test_mult18x18d.py"],
    "tables": [verilated("tables"), *core(MIXED)],
    "tile_pacing": core(f"{CONV} patches"),
    "timing": [
        "tests/machine/test_timing.py",
        "tests/hw/test_requantizer.py",
        *core(f"cycles {PATCHES} short"),
        *LARGEST,
    ],
    "tokens": ["tests/hw/test_tokens.py", "tests/hw/test_system_errors.py"],
    "vector_read": core(VECTOR),
    "verilog": WIDTHS,
    "weight_memory": [*SIZES, *core(CONV)],
    "widths": core(MIXED),
    "yosys": WIDTHS,
    "yosys_process": WIDTHS,
}
"""For each file of intaglio/hw and intaglio/machine, by its stem, arguments of pytest in the order in which they run."""
