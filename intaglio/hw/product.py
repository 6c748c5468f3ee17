"""Products of two hardware values: the one way in which modules make a multiplier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module, Signal, Value

from intaglio.hw.pipeline import delay


def product(
    m: Module,
    a: Value,
    b: Value,
    name: str,
    *,
    stages: int,
    shape: Any = None,
    enable: Any = None,
    attributes: Mapping[str, int | str] | None = None,
) -> Any:
    """a * b as it was `stages` cycles ago, at least 1: as many registers in a row, for a DSP block to take in.

    shape: of the product, where it is known to need fewer bits than any two values of these shapes. enable: 1 bit;
    where it is low the first register keeps its product. The registers have no reset: a valid bit beside them says what
    they mean. attributes: for synthesis, such as use_dsp, written before the first register in the Verilog.
    """
    if stages < 1:
        raise ValueError(f"{name}: a product has a register of its own")
    a, b = Value.cast(a), Value.cast(b)
    whole = a * b
    stated = {"intaglio.product": f"{_shape(a)} * {_shape(b)}"}
    first = Signal(shape or whole.shape(), name=name, reset_less=True, attrs={**stated, **(attributes or {})})
    if enable is None:
        m.d.sync += first.eq(whole)
    else:
        with m.If(enable):
            m.d.sync += first.eq(whole)
    return delay(m, first, stages - 1, name, reset_less=True)


def _shape(value: Value) -> str:
    return f"{'signed' if value.shape().signed else 'unsigned'} {value.shape().width}"
