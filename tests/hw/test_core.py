"""The compute core against the host's execution of the same commands: memory, ledger and cycles."""

import dataclasses

import numpy as np
import pytest
from amaranth.sim import Simulator

from intaglio.hw.core import ComputeCore
from intaglio.machine import latency
from intaglio.machine.config import Config, MemoryConfig
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Command, LocalMemory, Opcode
from intaglio.machine.timing import compute_cycles, lead_cycles, least_idle_cycles, least_tile_cycles
from intaglio.sim.functional import _Machine
from intaglio.verifier.legality import rules
from tests.hw.core_commands import (
    random_add,
    random_chain,
    random_conv,
    random_maximum,
    random_pool,
    split_window,
    with_tables,
)
from tests.hw.depthwise_commands import random_depthwise
from tests.hw.split_commands import random_split, random_split_chain

SHAPES = [
    dict(rows=2, cols=3, requantizers=2, bus_bytes=4, tables=1),
    dict(rows=4, cols=2, requantizers=1, bus_bytes=8, add_multipliers=False, multipliers=2),
    dict(rows=1, cols=4, requantizers=4, bus_bytes=8),
    dict(rows=3, cols=3, requantizers=3, bus_bytes=16, add_multipliers=False, tables=4),
    dict(rows=2, cols=2, requantizers=2, bus_bytes=4, rounding=("double", "single", "away"), weight_zero_points=False),
    dict(rows=3, cols=2, requantizers=1, bus_bytes=4, rounding=("float",)),
    dict(rows=5, cols=3, requantizers=2, bus_bytes=4, weight_lanes=1, multipliers="packed"),
    dict(rows=4, cols=1, requantizers=1, bus_bytes=4),
]
WITH_PATCHES = [
    dict(rows=4, cols=4, requantizers=2, bus_bytes=4, tables=2),
    dict(rows=6, cols=3, requantizers=1, bus_bytes=8, depthwise_delay=8, multipliers="lut"),
    dict(rows=3, cols=6, requantizers=4, bus_bytes=8, depthwise_delay=2),
    dict(rows=8, cols=3, requantizers=3, bus_bytes=8, multipliers="packed"),
    dict(rows=8, cols=1, requantizers=1, bus_bytes=4),
]
SPLITTING = [
    dict(rows=2, cols=4, requantizers=3, bus_bytes=4, tables=8),
    dict(rows=4, cols=5, requantizers=2, bus_bytes=8, weight_zero_points=False, multipliers="lut"),
    dict(rows=2, cols=3, requantizers=1, bus_bytes=16, depthwise_delay=0),
    dict(rows=8, cols=8, requantizers=4, bus_bytes=4, multipliers="packed"),
    dict(rows=3, cols=2, requantizers=2, bus_bytes=4, weight_bytes=1024),
    dict(rows=4, cols=1, requantizers=1, bus_bytes=4),
]
"""Buses of half a weight word, of one, of two and of four."""


def named(shape) -> str:
    return f"{shape['rows']}x{shape['cols']}{'-'.join(('', *shape.get('rounding', ())))}"


EVENTS = [
    "macs",
    "activation_reads",
    "activation_writes",
    "weight_reads",
    "channel_reads",
    "requantizations",
    "partial_reads",
    "partial_writes",
]


def small(**fields) -> Config:
    return Config(
        **{**dict(activation_bytes=2048, weight_bytes=2048, channel_bytes=1024, memory=MemoryConfig(4)), **fields}
    )


def with_sums(shape: dict, words: int) -> Config:
    """With a partial-sum memory of at least `words` words."""
    config = small(**shape)
    return dataclasses.replace(config, partial_bytes=config.partial_word_bytes * max(words, config.partial_words))


def run_on_core(config: Config, memories: dict[LocalMemory, np.ndarray], commands) -> tuple[np.ndarray, list, list]:
    """Loads the memories, runs the commands; returns the activation memory, the cycles and the events of each."""
    core = ComputeCore(config)
    cycles, counts = [], []
    after = np.zeros(config.activation_bytes, np.uint8)

    async def bench(ctx):
        bus = config.bus_bytes
        for memory, content in memories.items():
            for at in range(0, len(content), bus):
                ctx.set(core.write_en, 1)
                ctx.set(core.write_memory, int(memory))
                ctx.set(core.write_address, at)
                ctx.set(core.write_data, int.from_bytes(content[at : at + bus].tobytes(), "little"))
                await ctx.tick()
        ctx.set(core.write_en, 0)
        # The next command waits all the time: it begins beside the end of the one before, but does nothing there.
        begun: list[int] = []
        ended = cycle = 0
        while ended < len(commands):
            # The one before stays for a cycle, and no longer.
            waits = len(begun) < len(commands) and (not begun or cycle > begun[-1] + 1)
            ctx.set(core.start.valid, int(waits))
            if waits:
                ctx.set(core.start.payload, sum(w << 32 * i for i, w in enumerate(commands[len(begun)].words())))
                if ctx.get(core.start.ready):
                    begun.append(cycle)
            if len(counts) < max(len(begun), ended + 1):
                counts.append(dict.fromkeys(EVENTS, 0))
            for name in EVENTS:
                # Steps are counted as the sequencer has them, which walks the command that began last.
                owner = len(begun) - 1 if name == "macs" and begun else ended
                counts[owner][name] += ctx.get(getattr(core.events, name))
            assert not ctx.get(core.conflict)
            if ctx.get(core.retire):
                cycles.append(cycle - begun[ended] + 1)
                ended += 1
                if ended < len(commands):
                    lead = lead_cycles(config, commands[ended - 1], commands[ended])
                    assert len(begun) == ended + (lead > 0) and (not lead or begun[ended] == cycle + 1 - lead)
            if ended < len(begun):
                assert cycle - begun[ended] < compute_cycles(config, commands[ended]) + 20, f"no end: {commands[ended]}"
            await ctx.tick()
            cycle += 1
        for at in range(0, config.activation_bytes, bus):
            ctx.set(core.read_en, 1)
            ctx.set(core.read_address, at)
            await ctx.tick()
            ctx.set(core.read_en, 0)
            await ctx.tick().repeat(latency.ACTIVATION_READ - 1)
            word = int(ctx.get(core.read_data)).to_bytes(bus, "little")
            after[at : at + bus] = np.frombuffer(word, np.uint8)

    sim = Simulator(core)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    return after, cycles, counts


def channel_memory(config: Config, rng: np.random.Generator) -> np.ndarray:
    records = np.zeros((config.channel_bytes // 16, 4), np.int32)
    records[:, 0] = rng.integers(-5000, 5000, len(records))
    records[:, 1] = rng.integers(1 << 30, 1 << 31, len(records))
    records[:, 2] = rng.integers(-14, -5, len(records)) & 0xFF
    records[rng.random(len(records)) < 0.1, 2] = 3
    return records.view(np.uint8).reshape(-1)


def check(config: Config, commands, rng: np.random.Generator) -> None:
    commands = with_tables(config, rng, commands)
    memories = {
        LocalMemory.ACTIVATION: rng.integers(0, 256, config.activation_bytes, dtype=np.uint8),
        LocalMemory.WEIGHT: rng.integers(0, 256, config.weight_bytes, dtype=np.uint8),
        LocalMemory.CHANNEL: channel_memory(config, rng),
        LocalMemory.TABLE: rng.integers(0, 256, config.table_bytes, dtype=np.uint8),
    }
    host = _Machine(config, np.zeros(16, np.uint8))
    for memory, content in memories.items():
        host._local[memory][:] = content
    ledgers = []
    for command in commands:
        ledgers.append(np.zeros(len(Counter), np.int64))
        host.run(command, ledgers[-1])
    after, cycles, counts = run_on_core(config, memories, commands)
    for i, command in enumerate(commands):
        assert cycles[i] == compute_cycles(config, command), (i, command)
        for name in EVENTS:
            assert counts[i][name] == ledgers[i][Counter[name.upper()]], (name, i, command)
    wrong = np.flatnonzero(after != host._local[LocalMemory.ACTIVATION])
    assert wrong.size == 0, (wrong[:8], after[wrong[:8]], host._local[LocalMemory.ACTIVATION][wrong[:8]], commands)


@pytest.mark.parametrize("engine", ["LOAD", "STORE"])
def test_conflicts_are_shown(engine):
    """Of COMPUTE with either of the others, while it uses that port, and only then."""
    rng = np.random.default_rng(8)
    config = small(rows=2, cols=2, requantizers=2, bus_bytes=4, activation_banks=1)
    core = ComputeCore(config)
    command = random_add(config, rng)
    seen = []

    async def bench(ctx):
        ctx.set(core.start.payload, sum(w << 32 * i for i, w in enumerate(command.words())))
        ctx.set(core.write_memory, int(LocalMemory.ACTIVATION))
        for cycle in range(20 + compute_cycles(config, command) + 20):
            ctx.set(core.start.valid, cycle == 20)
            half = config.half_word_bytes
            address = (
                int(rng.integers(config.activation_bytes // config.bus_bytes)) * config.bus_bytes
                if cycle % 3
                else half * (cycle % 2)
            )
            ctx.set(core.write_en, engine == "LOAD")
            ctx.set(core.write_address, address)
            ctx.set(core.read_en, engine == "STORE")
            ctx.set(core.read_address, address)
            seen.append((ctx.get(core.busy), ctx.get(core.conflict)))
            await ctx.tick()

    sim = Simulator(core)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    assert any(conflict for busy, conflict in seen if busy) and not any(conflict for busy, conflict in seen if not busy)


@pytest.mark.parametrize("shape", SHAPES, ids=named)
@pytest.mark.parametrize(
    "make", [random_conv, random_depthwise, random_add, random_pool, random_maximum], ids=lambda f: f.__name__
)
def test_random_commands(shape, make):
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    config = small(**shape)
    commands = [make(config, rng, True) if make is random_conv else make(config, rng) for _ in range(4)]
    check(config, commands, rng)


@pytest.mark.parametrize("shape", WITH_PATCHES, ids=named)
def test_depthwise_among_others(shape):
    """What a command leaves in the delay lines and in the feed means nothing to the next."""
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    config = small(**shape)
    conv = random_conv(config, rng, True)
    patches = [random_depthwise(config, rng) for _ in range(4)]
    check(
        config,
        [*patches[:2], conv, patches[2], random_pool(config, rng), random_add(config, rng), patches[3], conv],
        rng,
    )


@pytest.mark.parametrize("shape", SPLITTING, ids=named)
def test_split_reductions_among_others(shape):
    """Two rows take one output pixel's reduction by halves; before and after them rows are pixels of their own."""
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    config = small(**shape)
    split = [random_split(config, rng) for _ in range(4)]
    others = [random_conv(config, rng, True), random_add(config, rng)]
    others.insert(1, random_depthwise(config, rng) if config.depthwise_delay else random_pool(config, rng))
    chain = random_split_chain(config, rng)
    check(config, [*split[:2], others[0], *chain, others[1], split[2], others[2], split[3], others[0]], rng)


@pytest.mark.parametrize("shape", SHAPES, ids=named)
def test_sums_continue_in_later_commands(shape):
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    config = with_sums(shape, 97)
    check(config, [c for _ in range(3) for c in random_chain(config, rng, True)], rng)


def test_short_kept_tiles():
    """Tiles of one pixel and fewest cycles, kept and continued one after the other."""
    rng = np.random.default_rng(5)
    config = with_sums(dict(rows=2, cols=5, requantizers=2, bus_bytes=4), 60)
    pixels, steps, tiles = 5, 2, 3
    conv = {
        **random_conv(config, rng, True).fields,
        "origin": 0,
        "wrap_bytes": 0,
        "in_row_bytes": 2 * pixels,
        "iy_start": 0,
        "x_start": 0,
        "in_rows": 1,
        "x_step": 2,
        "kernel_rows": 1,
        "kernel_cols": 1,
        "chunks": 1,
        "chunk_bytes": steps,
        "last_chunk_bytes": steps,
        "slot_cycles": steps,
        "last_slot_cycles": steps,
        "region_width": pixels,
        "pixel_tiles": pixels,
        "rows_per_tile": 1,
        "last_pixels": 1,
        "channel_tiles": tiles,
        "last_channels": 4,
        "weight_base": 0,
        "channel_base": 0,
        "early_base": 0,
        "out_base": 1024,
        "out_row_stride": 64,
        "out_pixel_stride": 16,
        "partial_base": 9,
    }
    conv["idle_cycles"] = least_tile_cycles(config, Command(Opcode.CONV, conv)) - steps
    order = [{"start": 1, "drain_from": 5}, {"start": 0, "drain_from": 9}, {"start": 0, "drain_from": 0}]
    check(config, [Command(Opcode.CONV, {**conv, **fields}) for fields in order], rng)


SLABS = {
    "all-of-feed": dict(rows=2, cols=4, requantizers=2, bus_bytes=4),  # 4 passes
    "part-of-feed": dict(rows=2, cols=3, requantizers=3, bus_bytes=4),  # 6 of 8 bytes: 2 passes
    "odd": dict(rows=1, cols=5, requantizers=5, bus_bytes=8),  # 15 of 16: 3
    "many": dict(rows=8, cols=2, requantizers=1, bus_bytes=4),  # 16
    "wider-than-feed-needs": dict(rows=1, cols=3, requantizers=3, feed_bytes=32, bus_bytes=4),  # 30 of 32: 10
}


@pytest.mark.parametrize("shape", SLABS.values(), ids=SLABS)
def test_slabs(shape):
    """Windows of fewer elements than a slab has passes, of as many, and of more; channels around whole passes and slabs."""
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    config = small(**shape)
    w, q = config.slab_channels, config.requantizers
    commands = []
    for i, channels in enumerate((q + 1, w - 1, w, w + 1, 2 * w, 2 * w + q + 1)):
        kh, kw = (int(k) for k in rng.integers(1, 4, 2))
        base = random_pool(config, rng, bool(i % 2)).fields
        stride = (kw + 1) * channels + 1
        fields = {
            **base,
            "channels": channels,
            "kernel_rows": kh,
            "kernel_cols": kw,
            "region_rows": 2,
            "region_cols": 2,
            "in_base": 3,
            "in_row_stride": stride,
            "row_step": stride,
            "x_step": channels,
            "kernel_x_step": channels,
            "out_base": 1200,
            "out_row_stride": 2 * channels + 1,
            "out_pixel_stride": channels,
            "wrap_from": 2 * stride if i % 3 else stride + 1,
            "wrap_bytes": stride + 2,
        }
        if 3 + (kh + 1) * stride < 1200 and 1200 + 4 * channels + 2 < 2048:
            commands.append(Command(Opcode.POOL, fields))
    assert len(commands) > 3
    check(config, commands + [part for c in commands[2:4] for part in split_window(c, config)], rng)


def test_cycles_of_slabs():
    """By hand: a slab of 32 channels takes its window's 9 cycles, or its 4 passes where the window has fewer elements."""
    config = Config(rows=16, cols=16, requantizers=8)
    assert (config.feed_bytes, config.slab_channels) == (32, 32)
    sizes = dict.fromkeys(("kernel_rows", "kernel_cols", "region_rows", "region_cols", "channels"), 1)

    def longer(**fields):
        one, other = Command(Opcode.POOL, sizes), Command(Opcode.POOL, {**sizes, **fields})
        return compute_cycles(config, other) - compute_cycles(config, one)

    assert longer(kernel_rows=3, kernel_cols=3, region_rows=56, region_cols=56, channels=64) == 56 * 56 * 2 * 9 + 4 - 2
    assert longer(kernel_rows=7, kernel_cols=7, channels=512) == 16 * 49 + 4 - 2
    assert longer(region_cols=5, channels=61) == 5 * 8 - 1
    assert longer(kernel_cols=2, channels=33) == 4 + 2 - 1
    assert longer(region_cols=3, kernel_cols=2, channels=33) == 3 * (4 + 2) - 1


@pytest.mark.parametrize("shape", SHAPES, ids=named)
@pytest.mark.parametrize("make", [random_pool, random_maximum], ids=lambda f: f.__name__)
def test_window_continues_in_next_command(shape, make):
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    rng = np.random.default_rng(seed)
    config = small(**shape)
    pools = [p for p in (make(config, rng) for _ in range(30)) if p["kernel_rows"] > 1][:3]
    check(config, [c for p in pools for c in split_window(p, config)], rng)


@pytest.mark.parametrize("cols", [4, 7])
def test_short_tiles_of_one_pixel(cols):
    """Their sums leave the drain memory before the tile after the next one overwrites them."""
    rng = np.random.default_rng(cols)
    config = small(rows=2, cols=cols, requantizers=2, bus_bytes=4)
    conv = random_conv(config, rng, True)
    steps, tiles = 2, 6
    conv = Command(
        Opcode.CONV,
        {
            **conv.fields,
            "origin": 0,
            "wrap_bytes": 0,
            "in_row_bytes": steps,
            "iy_start": 0,
            "x_start": 0,
            "in_rows": 1,
            "kernel_rows": 1,
            "kernel_cols": 1,
            "chunks": 1,
            "chunk_bytes": steps,
            "last_chunk_bytes": steps,
            "slot_cycles": steps,
            "last_slot_cycles": steps,
            "region_width": 1,
            "pixel_tiles": 1,
            "rows_per_tile": 1,
            "last_pixels": 1,
            "channel_tiles": tiles,
            "last_channels": cols,
            "weight_base": 0,
            "channel_base": 0,
            "early_base": 0,
            "out_base": 1024,
            "out_row_stride": 64,
            "out_pixel_stride": 64,
        },
    )
    conv.fields["idle_cycles"] = least_tile_cycles(config, conv) - steps
    check(config, [conv], rng)


@pytest.mark.parametrize("cols", [1, 4])
def test_last_tile_of_fewer_pixels(cols):
    """A channel tile's last tile, of one pixel, has its last sum sooner than a tile of more: with the fewest cycles of a tile
    the next channel tile's follow right, with one less they do not."""
    rng = np.random.default_rng(cols)
    config = small(rows=3, cols=cols, requantizers=cols, bus_bytes=4)
    pixels, fields = 7, dict(random_conv(config, rng, True).fields)
    fields |= {
        "origin": 0,
        "wrap_bytes": 0,
        "in_row_bytes": pixels,
        "iy_start": 0,
        "x_start": 0,
        "in_rows": 1,
        "x_step": 1,
        "kernel_rows": 1,
        "kernel_cols": 1,
        "chunks": 1,
        "chunk_bytes": 1,
        "last_chunk_bytes": 1,
        "slot_cycles": 3,
        "last_slot_cycles": 3,
        "idle_cycles": latency.LEAST_TILE - 2,
        "region_width": pixels,
        "pixel_tiles": 3,
        "rows_per_tile": 3,
        "last_pixels": 1,
        "channel_tiles": 3,
        "last_channels": cols,
        "weight_base": 0,
        "channel_base": 0,
        "early_base": 0,
        "out_base": 1024,
        "out_row_stride": 512,
        "out_pixel_stride": 3 * cols,
        "clamp_min": -128,
        "clamp_max": 127,
    }
    short = Command(Opcode.CONV, fields)
    least = least_tile_cycles(config, short)
    assert least == latency.LEAST_TILE + 2
    assert f"a tile lasts {least - 1} cycles, its results need {least}" in list(rules(config, short))
    longer = ({"idle_cycles": least - 3}, {"last_pixels": 2}, {"channel_tiles": 1})
    commands = [Command(Opcode.CONV, {**fields, **more}) for more in longer]
    assert not any(list(rules(config, command)) for command in commands)
    check(config, commands, rng)
    with pytest.raises(AssertionError):
        check(config, [short], rng)


@pytest.mark.parametrize(
    ("cols", "requantizers", "patch"),
    [(4, 1, (1, 1)), (4, 1, (2, 2)), (5, 5, (1, 1))],
    ids=["output", "patch", "columns"],
)
def test_patches_of_short_rasters(cols, requantizers, patch):
    """With the fewest idle cycles a tile's passes end before the next one's begin, and before its sums are overwritten while
    they wait for the last column; with one less they do not."""
    rng = np.random.default_rng(cols)
    config = small(rows=4, cols=cols, requantizers=requantizers, bus_bytes=4)
    ph, pw = patch
    fields = {
        "origin": 0,
        "in_row_bytes": 40,
        "in_rows": 4,
        "dilation_rows": 1,
        "x_step": 3,
        "row_step": 64,
        "patch_iy_step": 1,
        "patch_row_step": 64,
        "patch_x_step": 5,
        "kernel_rows": 1,
        "kernel_cols": 1,
        "raster_rows": ph,
        "last_raster_rows": ph,
        "raster_cols": pw,
        "tap_delay": 1,
        "patch_delay": 1,
        "patches_down": 2,
        "patches_across": 3,
        "patch_rows": ph,
        "last_patch_rows": ph,
        "patch_cols": pw,
        "last_patch_cols": pw,
        "tile_pixels": ph * pw,
        "last_tile_pixels": ph * pw,
        "channel_tiles": 2,
        "tile_channels": cols,
        "last_channels": cols,
        "out_base": 1024,
        "out_row_stride": 64,
        "out_pixel_stride": 8,
        "out_patch_row_step": 128,
        "out_patch_step": 16,
        "clamp_min": -128,
        "clamp_max": 127,
        "in_zero_point": 5,
    }
    fields["idle_cycles"] = least_idle_cycles(config, Command(Opcode.DEPTHWISE, fields))
    assert fields["idle_cycles"] > 0
    check(config, [Command(Opcode.DEPTHWISE, fields)], rng)
    with pytest.raises(AssertionError):
        check(config, [Command(Opcode.DEPTHWISE, {**fields, "idle_cycles": fields["idle_cycles"] - 1})], rng)
