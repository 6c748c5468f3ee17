"""`intaglio quantize`: a float ONNX network to a quantized one."""

from __future__ import annotations

import time
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from intaglio.cli.console import check_targets, progress_bar, report_terminal, tell_written, write_json
from intaglio.cli.options import WHOLE, ConfigOption, SetOption, configuration
from intaglio.errors import InputError
from intaglio.files import write_bytes
from intaglio.report.quantization import print_quantization, quantize_document


class Weights(StrEnum):
    int8 = "int8"


class Activations(StrEnum):
    int8 = "int8"
    uint8 = "uint8"
    int16 = "int16"


class Method(StrEnum):
    """The way in which an activation's range is chosen."""

    minmax = "minmax"
    percentile = "percentile"
    entropy = "entropy"
    mse = "mse"


def quantize_command(
    model: Annotated[Path, typer.Argument(metavar="FLOAT.onnx", help="A float32 network.", show_default=False)],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="CALIB.npz",
            show_default=False,
            help="Samples [N, ...] by input name, or `inputs` where there is one; `labels` [N] for the accuracy.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="Q.onnx", help=f"The quantized network, QDQ. {WHOLE}", show_default=False
        ),
    ],
    weights: Annotated[Weights, typer.Option(help="Symmetric.")] = Weights.int8,
    activations: Annotated[
        Activations,
        typer.Option(help="int8 and uint8: asymmetric. int16: symmetric; the accelerator does not run it yet."),
    ] = Activations.int8,
    per_channel: Annotated[
        bool, typer.Option("--per-channel", help="A weight scale for each output channel, not for each tensor.")
    ] = False,
    method: Annotated[
        Method, typer.Option(help="How activations' ranges are chosen; mse: the least squared error.")
    ] = Method.minmax,
    percentile: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            show_default=False,
            help="Of --method percentile: the share of values that a range must hold; by default all but one in 100,000.",
        ),
    ] = None,
    narrow_range: Annotated[
        bool, typer.Option("--narrow-range/--full-range", help="Weights in -127..127, or -128..127.")
    ] = True,
    config: ConfigOption = "edge64",
    overrides: SetOption = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="Q.json|-", help=f"The report as JSON; - is standard output. {WHOLE}", show_default=False
        ),
    ] = None,
) -> None:
    """Quantize a float ONNX network; report the error of every tensor, both accuracies if there are labels, and what the
    accelerator of CONFIG will refuse."""
    check_targets(json, output, inputs=[data])
    if output.exists() and model.exists() and output.samefile(model):
        raise InputError(f"{output}: is the float network itself; choose another name for the quantized one")
    if percentile is not None and method != Method.percentile:
        raise typer.BadParameter("--percentile belongs to --method percentile; give that too, or leave it out")
    accelerator = configuration(config, overrides)
    from intaglio.quantize.afterwards import refused_afterwards
    from intaglio.quantize.post_training import Settings, quantize

    settings = Settings(method.value, activations.value, per_channel, narrow_range)
    if percentile is not None:
        settings = replace(settings, percentile=percentile)
    begin = time.perf_counter()
    with progress_bar() as bar:
        made = quantize(model, data, settings, bar)
    refusals = refused_afterwards(made.content, "network", accelerator)
    document = quantize_document(
        model, data, output, settings, made, accelerator, refusals, time.perf_counter() - begin
    )
    write_bytes(output, made.content)
    write_json(json, document)
    terminal = report_terminal(json)
    print_quantization(terminal, document)
    tell_written(terminal, output, json)
