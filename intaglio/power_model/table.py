"""A table of energies: what one action costs, from which source; memories priced at their size."""

from __future__ import annotations

import math
from dataclasses import dataclass

OPERATIONS = ("int8_multiply", "int32_add", "int32_multiply", "fp32_multiply", "fp32_add")
"""Energy of one operation."""
MEMORIES = ("sram", "dram")
"""Energy of a bit moved: sram by capacity, dram at the external port."""
IDLE = (
    "leakage_sram",
    "leakage_int8_element",
    "leakage_fp32_element",
    "clock_int8_element",
    "clock_fp32_element",
)
"""Power: leakage of each KiB on chip and of each processing element, and the clock of each processing element by
MHz. The only entries that a table may leave out with a null and a note."""
ENTRIES = OPERATIONS + MEMORIES + IDLE


@dataclass(frozen=True)
class Band:
    """A figure with its ends: low <= value <= high."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Band:
        """factor >= 0."""
        return Band(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Entry:
    """One constant. price: in the base unit of its kind (pJ an operation, pJ a bit, W, W/KiB, W/MHz), None if the
    source does not have it; sram: (bytes, pJ a bit) in ascending order instead. given: value and band as in the file,
    in `unit`, for people."""

    name: str
    price: Band | None
    points: tuple[tuple[int, Band], ...]
    given: str
    unit: str
    node_nm: float
    voltage: float
    source: str
    note: str


@dataclass(frozen=True)
class Table:
    """Every entry of ENTRIES by name, on-chip ones of one node and one voltage."""

    name: str
    node_nm: float
    voltage: float
    entries: dict[str, Entry]

    def price(self, name: str) -> Band:
        """The price of an operation (pJ), of a bit outside (dram, pJ) or of idling (W, W/KiB, W/MHz). KeyError for an
        entry that the source does not have."""
        price = self.entries[name].price
        if price is None:
            raise KeyError(f"table {self.name} has no price of {name}")
        return price

    @property
    def not_priced(self) -> list[str]:
        """The idle entries that the source does not have."""
        return [name for name in IDLE if self.entries[name].price is None]

    def sram(self, capacity: int) -> Band:
        """pJ a bit of one access to a memory of `capacity` bytes, at least 1.

        Between two points the energy is a power of the capacity (a straight line in log-log). Beyond the first or
        the last point the value follows the power of the segment there, and the band reaches from it to the
        point's own energy.
        """
        points = self.entries["sram"].points
        right = next((i for i in range(1, len(points) - 1) if capacity < points[i][0]), len(points) - 1)
        (left_bytes, left), (right_bytes, right_band) = points[right - 1], points[right]
        share = math.log(capacity / left_bytes) / math.log(right_bytes / left_bytes)
        value, low, high = (
            _on_power_law(a, b, share)
            for a, b in ((left.value, right_band.value), (left.low, right_band.low), (left.high, right_band.high))
        )
        if share < 0:
            low, high = min(low, left.low), max(high, left.high)
        elif share > 1:
            low, high = min(low, right_band.low), max(high, right_band.high)
        return Band(value, min(low, value), max(high, value))

    def extrapolated(self, capacity: int) -> bool:
        """True where `capacity` lies outside the table's points."""
        points = self.entries["sram"].points
        return not points[0][0] <= capacity <= points[-1][0]

    @property
    def int8_mac(self) -> Band:
        """pJ: an INT8 multiply and an int32 accumulate."""
        return _sum(self.price("int8_multiply"), self.price("int32_add"))

    @property
    def fp32_mac(self) -> Band:
        """pJ: an FP32 multiply and an FP32 accumulate."""
        return _sum(self.price("fp32_multiply"), self.price("fp32_add"))


def _on_power_law(a: float, b: float, share: float) -> float:
    """a at share 0, b at share 1; a itself at 0 and b at 1, without a rounding."""
    return b if share == 1 else a * (b / a) ** share


def _sum(a: Band, b: Band) -> Band:
    return Band(a.value + b.value, a.low + b.low, a.high + b.high)
