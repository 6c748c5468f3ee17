"""The small machine has not grown on an ECP5; and growth is told."""

from __future__ import annotations

import pytest

from tests.fpga.growth import COUNTED, MOST, grown, measured, recorded


@pytest.mark.slow
def test_the_hardware_has_not_grown() -> None:
    pytest.importorskip("pyosys")
    found = grown(measured(), recorded())
    assert not found, (
        f"a small machine takes over 3 % more of an ECP5 ({'; '.join(found)}): if it is worth that, "
        f"`python -m tests.fpga.growth --renew`, and say why in the commit's message"
    )


def test_growth_of_each_resource_is_told() -> None:
    record = dict.fromkeys(COUNTED, 1000.0)
    assert grown(record, record) == [] and grown(dict.fromkeys(COUNTED, 1000 * MOST), record) == []
    for resource in COUNTED:
        (said,) = grown({**record, resource: 1031.0}, record)
        assert said == f"{resource}: 1,031, 1,000 in the record"
    assert len(grown(dict.fromkeys(COUNTED, 2000.0), record)) == len(COUNTED)
