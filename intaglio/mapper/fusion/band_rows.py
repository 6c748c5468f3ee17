"""The compiled part of bands.py, in numbers alone."""

from __future__ import annotations

import numpy as np

from intaglio.compiled import compiled


@compiled()
def measure(
    rows: int,
    image_rows: int,
    band: int,
    rings: np.ndarray,
    reads: np.ndarray,
    first: np.ndarray,
    images: np.ndarray,
    placed: np.ndarray,
    sources: np.ndarray,
    source_first: np.ndarray,
    inputs: int,
    kinds: np.ndarray,
    parts: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(how many kinds each task has, int64 [tasks]; rows of each input: most and all, [inputs, 2]; of each task's output: made, all
    made, read, whether shared, step, [tasks, 5]). kinds: [tasks, kinds, 5], filled in with first row, end, number, and what tells
    places apart."""
    tasks = len(rings)
    count = np.zeros(tasks, np.int64)
    of_inputs, of_tasks = np.zeros((inputs, 2), np.int64), np.zeros((tasks, 5), np.int64)
    of_tasks[:, 4] = 1
    needed, made, read = np.zeros((inputs, 2), np.int64), np.zeros((tasks, 2), np.int64), np.zeros((tasks, 2), np.int64)
    before, turns = np.zeros((tasks, 2), np.int64), np.zeros(tasks, np.int64)
    for image in range(0, rows, image_rows):
        for top in range(image, image + image_rows, band):
            for i in range(tasks):
                before[i, 0], before[i, 1] = read[i, 0], read[i, 1]
            needed[:] = 0
            read[:] = 0
            read[-1, 0], read[-1, 1] = top, min(top + band, image + image_rows)
            for i in range(tasks - 1, -1, -1):
                made[i, 0], made[i, 1] = read[i, 0], read[i, 1]
                if rings[i] and top > image and before[i, 1] > before[i, 0]:
                    made[i, 0] = max(read[i, 0], min(before[i, 1], read[i, 1]))
                if made[i, 1] <= made[i, 0]:
                    continue
                low, high = made[i]
                if images[i, 0]:
                    at, shift = low // images[i, 0] * images[i, 0], low // images[i, 0] * images[i, 1]
                    low, high = _span(reads, first[i], made[i, 0] - at, made[i, 1] - at)
                    if high <= low:
                        continue
                    low, high = low + shift, high + shift
                for k in range(source_first[i], source_first[i + 1]):
                    target = read[~sources[k]] if sources[k] < 0 else needed[sources[k]]
                    if target[1] <= target[0]:
                        target[0], target[1] = low, high
                    else:
                        target[0], target[1] = min(target[0], low), max(target[1], high)
            if top == image:
                for i in range(tasks):
                    turns[i] = made[i, 1]
            for i in range(inputs):
                of_inputs[i, 0] = max(of_inputs[i, 0], needed[i, 1] - needed[i, 0])
                of_inputs[i, 1] += needed[i, 1] - needed[i, 0]
            for i in range(tasks):
                size = made[i, 1] - made[i, 0]
                of_tasks[i, 0] = max(of_tasks[i, 0], size)
                of_tasks[i, 1] += size
                of_tasks[i, 2] = max(of_tasks[i, 2], read[i, 1] - read[i, 0])
                if size < read[i, 1] - read[i, 0]:
                    of_tasks[i, 3] = 1
                if made[i, 1] != turns[i]:
                    of_tasks[i, 4] = max(of_tasks[i, 4], size)
                low = made[i, 0]
                while parts and low < made[i, 1]:
                    high = made[i, 1]
                    if rings[i]:
                        high = min(high, low + rings[i] - (low - turns[i]) % rings[i])
                    count[i] = _counted(kinds[i], count[i], low, high, images[i, 0] if placed[i] else 1)
                    low = high
    return count, of_inputs, of_tasks


@compiled()
def _span(reads: np.ndarray, first: int, low: int, high: int) -> tuple[int, int]:
    """The rows around those that output rows [low, high) read."""
    start = end = 0
    for y in range(low, high):
        a, b = reads[0, first + y], reads[1, first + y]
        if b > a:
            start, end = (a, b) if end <= start else (min(start, a), max(end, b))
    return start, end


@compiled()
def _counted(kinds: np.ndarray, count: int, low: int, high: int, image: int) -> int:
    """Counts a part of rows [low, high) among the kinds, of which there are `count`; returns how many there are then. Parts are of
    one kind where they have as many rows, between the same rows of an image."""
    for k in range(count):
        if kinds[k, 1] - kinds[k, 0] == high - low and kinds[k, 3] == low % image and kinds[k, 4] == high % image:
            kinds[k, 2] += 1
            return count
    kinds[count, 0], kinds[count, 1], kinds[count, 2], kinds[count, 3], kinds[count, 4] = (
        low,
        high,
        1,
        low % image,
        high % image,
    )
    return count + 1
