"""A product alone, whose operands need not fit a multiplier."""

from __future__ import annotations

from amaranth.hdl import Module, Shape, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.product import product


class Product(wiring.Component):
    """a * b: with `adds` plus is added, else the first registers hold while enable is low. bits: of the output."""

    def __init__(self, a: Shape, b: Shape, stages: int, adds: bool, bits: int = 100):
        self._made = stages, adds
        super().__init__({"a": In(a), "b": In(b), "plus": In(5), "enable": In(1), "out": Out(signed(bits))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stages, adds = self._made
        given = {"plus": self.plus} if adds else {"enable": self.enable}
        m.d.comb += self.out.eq(product(m, self.a, self.b, "whole", stages=stages, platform=platform, **given))
        return m
