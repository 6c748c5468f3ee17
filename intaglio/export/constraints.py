"""Constraints with the configuration's clock, for the accelerator as the top of a design: XDC, SDC, LPF, CST."""

from __future__ import annotations

from intaglio.export.c_text import LONGEST_CLOCK, comment_text
from intaglio.machine.config import Config


def constraints(config: Config) -> dict[str, str]:
    """Texts by file name: Vivado (.xdc), tools that take Synopsys's constraints, such as Gowin's, Quartus or OpenSTA (.sdc),
    nextpnr-ecp5 and Diamond (.lpf), nextpnr-himbaechel and Gowin for what has to do with places (.cst)."""
    period = f"{1000 / config.clock_mhz:.3f}"
    clock = [f"create_clock -name clk -period {period} [get_ports {{clk}}]"]
    if config.reset == "aresetn":
        clock.append("set_false_path -from [get_ports {aresetn}]")
    return {
        "intaglio.xdc": _file("#", config, clock),
        "intaglio.sdc": _file("#", config, clock),
        "intaglio.lpf": _file("#", config, [f'FREQUENCY PORT "clk" {config.clock_mhz:.3f} MHZ;']),
        "intaglio.cst": _file(
            "//",
            config,
            ['CLOCK_LOC "clk" BUFG;'],
            f"A .cst has no frequencies: give the tool intaglio.sdc too, or nextpnr `--freq {config.clock_mhz:g}`.",
        ),
    }


def _file(mark: str, config: Config, lines: list[str], more: str = "") -> str:
    # Its origin has texts of the configuration's file, in which a line may end anywhere.
    clock = comment_text(str(config.clock), LONGEST_CLOCK)
    head = [
        f"The clock of the configuration {config.hardware_hash():016x}: {clock}.",
        "For `intaglio` as the top module; where it is an instance of a design, that design's clocks count.",
    ]
    return "\n".join([f"{mark} {line}" for line in (*head, more) if line] + lines) + "\n"
