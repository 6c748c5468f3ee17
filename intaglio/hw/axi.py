"""AXI4 and AXI4-Lite as Amaranth signatures, members named as in the standard, seen from the master."""

from __future__ import annotations

from typing import Any

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

INCR = 1
OKAY, SLVERR = 0, 2
LITE_ADDRESS_BITS = 12


class Axi4(wiring.Signature):
    """AXI4 with 32-bit addresses, a data bus of bus_bytes and one ID bit."""

    def __init__(self, bus_bytes: int):
        self.bus_bytes = bus_bytes
        members: dict[str, Any] = {}
        for c in ("aw", "ar"):
            members |= {
                f"{c}id": Out(1),
                f"{c}addr": Out(32),
                f"{c}len": Out(8),
                f"{c}size": Out(3),
                f"{c}burst": Out(2),
                f"{c}lock": Out(1),
                f"{c}cache": Out(4),
                f"{c}prot": Out(3),
                f"{c}qos": Out(4),
                f"{c}valid": Out(1),
                f"{c}ready": In(1),
            }
        members |= {
            "wdata": Out(8 * bus_bytes),
            "wstrb": Out(bus_bytes),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bid": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "rid": In(1),
            "rdata": In(8 * bus_bytes),
            "rresp": In(2),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
        }
        super().__init__(members)


class Axi4Lite(wiring.Signature):
    """AXI4-Lite, 32 bits of data, LITE_ADDRESS_BITS of address."""

    def __init__(self) -> None:
        super().__init__(
            {
                "awaddr": Out(LITE_ADDRESS_BITS),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(32),
                "wstrb": Out(4),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(LITE_ADDRESS_BITS),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(32),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )
