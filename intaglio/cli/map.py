"""`intaglio map`: the schedule of a network, without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intaglio.analysis.layers import layer_figures, totals
from intaglio.analysis.recheck import recheck
from intaglio.cli.console import check_targets, progress, report_terminal, tell_written, write_json
from intaglio.cli.options import TABLE_HELP, WHOLE, ConfigOption, ObjectiveName, SetOption, configuration, given
from intaglio.files import write_text
from intaglio.network import load
from intaglio.power_model import DEFAULT_TABLE, load_table
from intaglio.report.documents import map_document, recheck_document
from intaglio.report.tables import print_map, print_recheck
from intaglio.session import Session

MappedArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="MODEL", help="A network quantized to int8 or uint8; none with --check.", show_default=False
    ),
]
JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="M.json|-",
        help=f"The schedule as JSON; - is standard output. {WHOLE}",
        show_default=False,
    ),
]
ListingOption = Annotated[
    Path | None,
    typer.Option(
        "--listing", metavar="P.txt", help=f"The program as text, a command a line. {WHOLE}", show_default=False
    ),
]
ProgramOption = Annotated[
    Path | None,
    typer.Option("--program", metavar="P.npz", help=f"The program for `Program.load`. {WHOLE}", show_default=False),
]
ProveOption = Annotated[
    bool,
    typer.Option("--prove", help="Take each layer's best plan under exact timing, with a certificate; seconds longer."),
]
ObjectiveOption = Annotated[
    ObjectiveName,
    typer.Option(
        "--objective", help="What the schedule is chosen by: fewest cycles; least energy; least product of the two."
    ),
]
TableOption = Annotated[
    str | None,
    typer.Option(
        "--table",
        metavar="TABLE",
        show_default=False,
        help=f"{TABLE_HELP} With --objective energy and edp {DEFAULT_TABLE} unless given; with cycles it "
        "decides between schedules of as many cycles.",
    ),
]
CheckOption = Annotated[
    Path | None,
    typer.Option(
        "--check",
        metavar="M.json",
        show_default=False,
        help="Instead of mapping: hold a mapping that --json wrote against its commands: legality, cycles, bytes; exit 1 on a difference.",
    ),
]


def map_command(
    context: typer.Context,
    model: MappedArgument = None,
    config: ConfigOption = "edge64",
    overrides: SetOption = None,
    json: JsonOption = None,
    listing: ListingOption = None,
    program: ProgramOption = None,
    prove: ProveOption = False,
    objective: ObjectiveOption = ObjectiveName.cycles,
    table: TableOption = None,
    check: CheckOption = None,
) -> None:
    """Schedule a network; report commands, traffic and cycles of every layer."""
    check_targets(json, listing, program, inputs=[model, check])
    if (model is None) == (check is None):
        raise typer.BadParameter("give either a MODEL or --check M.json")
    if check is not None:
        if given(context) - {"check", "json"}:
            raise typer.BadParameter("--check takes no other option than --json")
        _check(check, json)
        return
    assert model is not None
    settings = configuration(config, overrides)
    prices = None
    if table is not None or objective != ObjectiveName.cycles:
        prices = load_table(table or DEFAULT_TABLE)
    graph = load(model)
    with progress() as tell:
        tell.step(f"mapping {graph.name} onto {settings.name}")
        session = Session.map(graph, settings, prove=prove, goal=objective.value, table=prices)
    clock = session.clock()
    layers = layer_figures(settings, session.program, clock.retire_cycles, clock.cycles)
    summary = totals(settings, session.program, layers, clock.cycles)
    chosen = {"goal": objective.value, "table": prices and prices.name, "energy": session.energy}
    document = map_document(model, settings, session.program, layers, summary, chosen, session.certificates)
    if listing is not None:
        write_text(listing, session.program.listing())
    if program is not None:
        session.program.save(program)
    write_json(json, document)
    terminal = report_terminal(json)
    print_map(terminal, document, graph.notes)
    tell_written(terminal, json, listing, program)


def _check(mapping: Path, json: Path | None) -> None:
    """Holds a mapping that --json wrote against its commands; exit 1 on a difference."""
    with progress() as tell:
        tell.step(f"checking {mapping}")
        found = recheck(mapping)
    write_json(json, recheck_document(mapping, found))
    terminal = report_terminal(json)
    print_recheck(terminal, mapping, found)
    tell_written(terminal, json)
    if found.difference is not None:
        raise typer.Exit(1)
