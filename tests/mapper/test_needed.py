"""What windows touch, against each of their elements."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.mapper.tasks.needed import Need, touched
from intaglio.program.layout import Layout


@pytest.mark.parametrize("seed", range(200))
def test_touched(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stride, kernel, dilation, before, length = (int(n) for n in rng.integers([1, 1, 1, 0, 1], [6, 6, 5, 9, 30]))
    outputs = rng.random(int(rng.integers(1, 12))) < 0.6
    taps = {o * stride - before + k * dilation for o in np.flatnonzero(outputs) for k in range(kernel)}
    assert touched(outputs, stride, kernel, dilation, before, length).tolist() == [i in taps for i in range(length)]


def test_windows_of_the_largest_images_take_no_memory() -> None:
    assert touched(np.ones(30_000, bool), 1, 35_000, 1, 0, 65_000).sum() == 64_999
    whole = Need.whole(Layout(65_535 * 65_535, 65_535 * 32_768, 65_535 * 32_768))
    assert whole.is_whole and whole.elements == 65_535 * 65_535 * 65_535 * 32_768
