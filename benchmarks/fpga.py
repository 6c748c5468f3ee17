"""Shipped configurations on their chips: what each takes, its routed clock, and MLPerf Tiny's networks at that clock.

`python -m benchmarks.fpga [NAME ...] [--no-route] [--seeds N] [--shared FOLDER]`, or `make fpga`: renews the rows of the named
configurations, all that name a chip unless some are, in benchmarks/fpga.csv; README's table from it; and `measured_clock` in
the configurations' files. A seed takes minutes, each is kept in the cache, and each row is written once it is there.

--no-route counts only: a row keeps its routed clock where the RTL is what was routed, and has none where it is not, and then the
configuration says "assumed" again. Cycles are the host's, which equal the RTL's; the networks are FOLDER/models (../shared where
none is given), and a row keeps its cycles where they are not there.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cycles import SHARED
from intaglio.errors import InputError
from intaglio.files import write_text
from intaglio.fpga.families import FAMILIES
from intaglio.fpga.measured import measured_clock, rtl_hash, with_clock
from intaglio.fpga.synth import Synthesis, synth
from intaglio.fpga.tools import ToolError
from intaglio.machine.chips import chip_of, grade_of
from intaglio.machine.clock import MeasuredClock
from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.network import load
from intaglio.session import Session

ROOT = Path(__file__).resolve().parents[1]
CSV = Path("benchmarks/fpga.csv")
README = Path("README.md")
CONFIGS = Path("intaglio/configs")
NETWORKS = {
    "kws": "mlptiny_kws_int8",
    "vww": "mlptiny_vww_int8",
    "ic": "mlptiny_ic_resnet8_int8",
    "ad": "mlptiny_ad_int8",
}
"""MLPerf Tiny's, by the names that the columns have."""
COLUMNS = (
    *("config", "chip", "grade", "fits", "lut", "ff", "dsp", "bram", "lutram", "estimate_mhz", "fmax_mhz", "seeds"),
    *("gops", "gops_per_dsp"),
    *(f"{network}_cycles" for network in NETWORKS),
    *(f"{network}_per_second" for network in NETWORKS),
    *("tools", "rtl"),
)
"""lut to lutram: units as `intaglio synth` counts them. fmax_mhz: the median of the seeds; empty where it is not routed, and so is
what follows from it: gops, two operations a MAC of all elements in every cycle, and inferences a second."""
Row = dict[str, str]
_TABLE = re.compile(r"(<!-- benchmarks/fpga\.csv -->\n).*?(<!-- end -->\n)", re.DOTALL)


def shipped(root: Path) -> dict[str, Config]:
    """The configurations by name, those that name a chip."""
    found = {path.stem: load_config(path) for path in sorted((root / CONFIGS).glob("*.yaml"))}
    return {name: config for name, config in found.items() if config.chip is not None}


def row(config: Config, found: Synthesis, clock: MeasuredClock | None, rtl: str, cycles: Mapping[str, int]) -> Row:
    """clock: a routed one of this RTL. cycles: by network; empty where they are not known."""
    mhz = None if clock is None else clock.mhz
    gops = None if mhz is None else 2 * config.macs_per_cycle * mhz / 1000
    out = {
        "config": config.name,
        "chip": found.chip.name,
        "grade": found.grade,
        "fits": "no" if found.too_much else "yes",
        **{resource: f"{units:.6g}" for resource, units in found.used.items()},
        "estimate_mhz": _number(found.estimate_mhz, 1),
        "fmax_mhz": _number(mhz, 2),
        "seeds": "" if clock is None else " ".join(map(str, clock.seeds)),
        "gops": _number(gops, 2),
        "gops_per_dsp": _number(gops / found.used["dsp"] if gops and found.used["dsp"] else None, 3),
        "tools": "; ".join(found.tools if clock is None else clock.tools),
        "rtl": rtl,
    }
    for network in NETWORKS:
        count = cycles.get(network)
        out[f"{network}_cycles"] = "" if count is None else str(count)
        out[f"{network}_per_second"] = _number(mhz * 1e6 / count if mhz and count else None, 1)
    return {column: out[column] for column in COLUMNS}


def _number(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"


def cycles_of(config: Config, models: Path) -> dict[str, int]:
    """Cycles of an inference by network, of those that are there and that the configuration runs."""
    out = {}
    for network, file in NETWORKS.items():
        path = models / f"{file}.tflite"
        if path.exists():
            try:
                out[network] = Session.map(load(path), config).clock().cycles
            except InputError as error:
                print(f"{network} on {config.name}: {error}", file=sys.stderr)
    return out


def kept_clock(config: Config, old: Row | None, rtl: str) -> MeasuredClock | None:
    """The clock of the configuration's file, if it is the row's and of this RTL."""
    clock = config.clock.measured
    if clock is None or old is None or clock.rtl != rtl or old["fmax_mhz"] != _number(clock.mhz, 2):
        return None
    return clock


def renewed(config: Config, old: Row | None, seeds: Sequence[int], models: Path) -> tuple[Row, MeasuredClock | None]:
    """The configuration's row, and its clock as it is measured: now by these seeds, or, without any or a router for its chip, as
    it was kept."""
    chip = chip_of(config.chip or "")
    if FAMILIES[chip.family].router is None:
        seeds = ()
    found = synth(config, chip, grade_of(chip, None), seeds, _tell)
    rtl = rtl_hash(config)
    clock = measured_clock(config, found) if seeds else kept_clock(config, old, rtl)
    cycles = cycles_of(config, models)
    if not cycles and old is not None:
        cycles = {network: int(old[f"{network}_cycles"]) for network in NETWORKS if old[f"{network}_cycles"]}
    return row(config, found, clock, rtl, cycles), clock


def read_rows(path: Path) -> dict[str, Row]:
    """Rows by configuration; none where there is no file."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["config"]: row for row in csv.DictReader(file)}


def text_of(rows: Mapping[str, Row]) -> str:
    """The file, a row for each configuration in their order of names."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[name] for name in sorted(rows))
    return out.getvalue()


def table(rows: Mapping[str, Row]) -> str:
    """README's table."""
    heads = ["machine", "chip", "LUT", "FF", "DSP", "block RAM", "MHz (seeds)", "GOPS", *(f"{n}/s" for n in NETWORKS)]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name in sorted(rows):
        found = rows[name]
        counts = [f"{float(found[resource]):,.6g}" for resource in ("lut", "ff", "dsp", "bram")]
        clock = f"{found['fmax_mhz']} ({len(found['seeds'].split())})" if found["fmax_mhz"] else _not_routed(found)
        rates = [f"{float(rate):,.0f}" if (rate := found[f"{network}_per_second"]) else "" for network in NETWORKS]
        lines.append(
            "| " + " | ".join([f"`{name}`", f"`{found['chip']}`", *counts, clock, found["gops"], *rates]) + " |"
        )
    return "\n".join(lines) + "\n"


def _not_routed(row: Row) -> str:
    if row["fits"] != "yes":
        return "does not fit"
    return "not routed" if FAMILIES[chip_of(row["chip"]).family].router else "no open router"


def with_table(text: str, rows: Mapping[str, Row]) -> str:
    """README's text with the table of the rows between its marks."""
    written, count = _TABLE.subn(lambda found: f"{found[1]}{table(rows)}{found[2]}", text)
    if count != 1:
        raise InputError(f"{README}: has not one place for the table, <!-- {CSV} --> to <!-- end -->")
    return written


def _write(root: Path, rows: Mapping[str, Row], name: str, clock: MeasuredClock | None) -> None:
    """All that the rows stand in, the configuration's own clock among it."""
    write_text(root / CSV, text_of(rows))
    readme = root / README
    write_text(readme, with_table(readme.read_text(encoding="utf-8"), rows))
    path = root / CONFIGS / f"{name}.yaml"
    if load_config(path).measured_clock != clock:
        write_text(path, with_clock(path.read_text(encoding="utf-8"), str(path), clock))


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def renew(root: Path, names: Sequence[str], seeds: Sequence[int], models: Path) -> None:
    """Renews the rows of the named configurations, one after the other, all if none are named; drops those of what is shipped no
    more, or names a chip no more. InputError for a name that is none, and at the end for rows that a tool made nothing of."""
    configs = shipped(root)
    for name in names:
        if name not in configs:
            raise InputError(f"{name}: no configuration that names a chip; those are {', '.join(configs)}")
    failed = []
    for name in names or configs:
        _tell(f"{name} on {configs[name].chip}")
        rows = {other: found for other, found in read_rows(root / CSV).items() if other in configs}
        try:
            made, clock = renewed(configs[name], rows.get(name), seeds, models)
        except ToolError as error:  # as a router's that finds no place; the other rows do not wait for it
            _tell(f"{name}: {error}")
            failed.append(name)
            continue
        _write(root, rows | {name: made}, name, clock)
        _tell(f"{name}: " + ", ".join(f"{column} {value}" for column, value in made.items() if value))
    if failed:
        raise InputError(f"not renewed: {', '.join(failed)}; --no-route counts without a router")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fpga", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="shipped configurations; all that name a chip if none")
    parser.add_argument("--no-route", action="store_true", help="count only: a minute or more a row, not an hour")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="of the router: 1 to N, 3 unless given")
    parser.add_argument("--shared", type=Path, default=SHARED, metavar="FOLDER", help="whose models/ has the networks")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error(f"--seeds {options.seeds}: give 1 or more; --no-route only counts")
    seeds = () if options.no_route else tuple(range(1, options.seeds + 1))
    try:
        renew(ROOT, options.names, seeds, options.shared / "models")
    except InputError as error:
        sys.exit(f"benchmarks.fpga: {error}")


if __name__ == "__main__":
    main()
