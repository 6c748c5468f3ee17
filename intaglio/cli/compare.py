"""`intaglio compare`: energy and performance per watt beside the same array in FP32."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intaglio.accuracy import Accuracy, evaluate, read_data
from intaglio.analysis.energy_counts import layer_counts
from intaglio.cli.console import Progress, check_targets, progress, report_terminal, tell_written, write_json
from intaglio.cli.options import TABLE_HELP, WHOLE, ConfigOption, SetOption, configuration
from intaglio.dataset import read_dataset
from intaglio.errors import InputError
from intaglio.network import load, random_inputs
from intaglio.network.placement import host_operators
from intaglio.power_model import DEFAULT_TABLE, compare, load_table, measured
from intaglio.report.energy import compare_document, fingerprint, table_document
from intaglio.report.energy_tables import print_compare, print_sources
from intaglio.session import Session

SEED = 0
"""The seed of the random input that host operators are timed with."""

ComparedArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="MODEL",
        help="A network quantized to int8 or uint8, as for run; --sources alone needs none.",
        show_default=False,
    ),
]
TableOption = Annotated[
    str,
    typer.Option("--table", metavar="TABLE", help=TABLE_HELP),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="D.npz",
        help="Samples and labels for the accuracy of INT8, as for run.",
        show_default=False,
    ),
]
FloatModelOption = Annotated[
    Path | None,
    typer.Option(
        "--float-model", metavar="F.onnx", help="The float network, for the accuracy of FP32.", show_default=False
    ),
]
FloatDataOption = Annotated[
    Path | None,
    typer.Option(
        "--float-data",
        metavar="D.npz",
        help="The same samples as the float network takes them, where its layout differs from --data.",
        show_default=False,
    ),
]
SourcesOption = Annotated[bool, typer.Option("--sources", help="Print where every constant comes from.")]
JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="C.json|-",
        help=f"The comparison as JSON; - is standard output. {WHOLE}",
        show_default=False,
    ),
]


def compare_command(
    model: ComparedArgument = None,
    config: ConfigOption = "edge64",
    overrides: SetOption = None,
    table: TableOption = DEFAULT_TABLE,
    data: DataOption = None,
    float_model: FloatModelOption = None,
    float_data: FloatDataOption = None,
    sources: SourcesOption = False,
    json: JsonOption = None,
) -> None:
    """Compare energy and performance per watt with the same array and schedule in FP32."""
    check_targets(json, inputs=[model, data, float_model, float_data])
    prices = load_table(table)
    if model is None:
        if not sources:
            raise InputError("compare: no network; give MODEL, or --sources to see where the constants come from")
        if json or data or float_model or float_data:
            raise InputError("compare: --json, --data and the --float- options are about a network; give MODEL too")
        print_sources(report_terminal(None), table_document(prices))
        return
    if float_model is None and float_data is not None:
        raise InputError(f"--float-data {float_data}: is for the float network; give --float-model F.onnx too")
    if float_model is not None and data is None and float_data is None:
        raise InputError(f"--float-model {float_model}: needs samples and labels; give --data D.npz too")
    settings = configuration(config, overrides)
    graph = load(model)
    with progress() as tell:
        tell.step(f"mapping {graph.name} onto {settings.name}")
        session = Session.map(graph, settings)
        accuracy = {
            "int8": None if data is None else _int8_accuracy(session, data, tell),
            "fp32": None if float_model is None else _fp32_accuracy(float_model, float_data or data, tell),
        }
        tell.step(f"counting the actions of {graph.name}")
        timed = session.run(random_inputs(graph, SEED)).host_seconds if host_operators(graph, session.config) else None
        compared = compare(settings, layer_counts(session, timed), prices)
    document = compare_document(model, compared, accuracy, measured(fingerprint(session)), graph.notes)
    write_json(json, document)
    terminal = report_terminal(json)
    print_compare(terminal, document)
    if sources:
        print_sources(terminal, document["table"])
    tell_written(terminal, json)


def _int8_accuracy(session: Session, data: Path, tell: Progress) -> Accuracy:
    """On the host engine: what the hardware computes."""
    samples = read_data(data, session.graph)
    try:
        return evaluate(session, samples, lambda what, done, of: tell.step(f"{what}: {done} of {of}"))
    except InputError as error:
        raise error.at(data) from None


def _fp32_accuracy(model: Path, data: Path | None, tell: Progress) -> Accuracy:
    """In onnxruntime."""
    assert data is not None
    from intaglio.quantize.measure import accuracy
    from intaglio.quantize.model_file import input_forms, read_float_model

    read = read_float_model(model)
    samples = read_dataset(data, input_forms(read))
    try:
        return accuracy(
            read,
            model,
            "none",
            "samples in onnxruntime",
            samples,
            lambda what, done, of: tell.step(f"{what}: {done} of {of}"),
        )
    except InputError as error:
        raise error.at(data) from None
