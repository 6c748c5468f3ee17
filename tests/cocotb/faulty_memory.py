"""External memory with a bad word."""

from __future__ import annotations

from cocotbext.axi.address_space import MemoryRegion


class FaultyMemory(MemoryRegion):
    """A target for AxiSlave, which answers SLVERR to a beat that touches an address in `bad_reads` or `bad_writes`."""

    bad_reads = bad_writes = range(0)

    async def _read(self, address: int, length: int, **kwargs) -> bytes:
        _refuse(address, self.bad_reads)
        return await super()._read(address, length, **kwargs)

    async def _write(self, address: int, data: bytes, **kwargs) -> None:
        _refuse(address, self.bad_writes)
        await super()._write(address, data, **kwargs)


def _refuse(address: int, bad: range) -> None:
    if address in bad:
        raise ValueError(f"bad word at 0x{address:x}")
