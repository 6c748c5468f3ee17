"""intaglio_host.c against the host's own arithmetic, and the driver's walk through memory against numpy."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from intaglio.errors import InputError
from intaglio.export import templates
from intaglio.export.loops import addresses, loops_of
from intaglio.network import affine, host_ops
from intaglio.network.graph import FileForm, Quantization, Tensor
from intaglio.program.program import Place
from tests.export.exported import gcc, need_compilers

SEED = 20261121


class Quantizing(ctypes.Structure):
    _fields_ = [("scale", ctypes.c_float), ("zero_point", ctypes.c_int32), ("lowest", ctypes.c_int32)]


@pytest.fixture(scope="module", params=["-O0", "-O2"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    need_compilers()
    folder = tmp_path_factory.mktemp("host")
    for name in ("intaglio.h", "intaglio_host.h", "intaglio_host.c"):
        (folder / name).write_text(templates.text(name))
    sanitize = ("-fsanitize=undefined", "-fno-sanitize-recover", "-static-libubsan") if request.param == "-O0" else ()
    gcc("-std=c99", request.param, *sanitize, "-shared", "-fPIC", folder / "intaglio_host.c", "-o", folder / "host.so")
    return ctypes.CDLL(str(folder / "host.so"))


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


def quantization(scale: float, zero_point: int) -> Quantization:
    return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64))


@pytest.mark.parametrize("half_even", [False, True])
def test_quantize(host: ctypes.CDLL, half_even: bool) -> None:
    random = np.random.default_rng(SEED)
    print(f"seed {SEED}")
    function = host.intaglio_quantize_even if half_even else host.intaglio_quantize_away
    for zero_point in (-128, -3, 0, 127):
        for scale in (1.0, 0.25, 1 / 255, 3e-39, 1e30, float(random.uniform(0.001, 0.1))):
            scale = float(np.float32(scale))
            ties = (np.arange(-600, 600) / 2).astype(np.float32) * np.float32(scale)
            with np.errstate(over="ignore"):
                beside = np.concatenate(
                    [np.nextafter(ties, np.float32(-np.inf)), np.nextafter(ties, np.float32(np.inf))]
                )
                wide = (random.normal(size=2000) * 200 * scale).astype(np.float32)
            with np.errstate(over="ignore"):
                extreme = np.array(
                    [0.0, -0.0, 3e38, -3e38, 1e-45, -1e-45, 2.0**31 * scale, 8388609 * scale], np.float32
                )
            reals = np.concatenate([ties, beside, wide, extreme])
            reals = reals[np.isfinite(reals)]
            expected = affine.quantize(reals, quantization(scale, zero_point), half_even)
            found = np.zeros(reals.size, np.int8)
            function(ctypes.byref(Quantizing(scale, zero_point, -128)), pointer(reals), reals.size, pointer(found))
            assert np.array_equal(found, expected)
            unsigned = np.zeros(reals.size, np.uint8)
            function(
                ctypes.byref(Quantizing(scale, zero_point + 128, 0)), pointer(reals), reals.size, pointer(unsigned)
            )
            assert np.array_equal(unsigned.astype(np.int64), expected.astype(np.int64) + 128)


def test_dequantize(host: ctypes.CDLL) -> None:
    elements = np.arange(-128, 128).astype(np.int8)
    for zero_point in (-128, 5, 127):
        for scale in np.float32([1 / 256, 0.1, 3e-40, 1e36, 0.033637181]):
            expected = affine.dequantize(elements, quantization(scale, zero_point))
            found = np.zeros(256, np.float32)
            host.intaglio_dequantize(
                ctypes.byref(Quantizing(scale, zero_point, -128)), pointer(elements), 256, pointer(found)
            )
            assert np.array_equal(found, expected)
            unsigned = (elements.astype(np.int64) + 128).astype(np.uint8)
            by = Quantizing(scale, zero_point + 128, 0)
            host.intaglio_dequantize(ctypes.byref(by), pointer(unsigned), 256, pointer(found))
            assert np.array_equal(found, expected)


def test_softmax(host: ctypes.CDLL) -> None:
    random = np.random.default_rng(SEED)
    print(f"seed {SEED}")
    for rows, length in ((1, 1), (3, 2), (2, 10), (1, 300), (1, 4095)):
        for scale in (1e-7, 1e-4, 0.003, 0.05, 0.3, 2.0, 40.0, 1e6):
            for spread in (1, 30, 256):
                x = (random.integers(0, spread, (rows, length)) - 128 + random.integers(0, 257 - spread)).astype(
                    np.int8
                )
                expected = host_ops.softmax(x, 1.0, scale)
                multiplier, left_shift = host_ops.softmax_scaling(1.0, scale)
                found = np.zeros_like(x)
                host.intaglio_softmax(pointer(x), rows, length, multiplier, left_shift, pointer(found))
                assert np.array_equal(found, expected), (rows, length, scale, spread)
                unsigned = x.view(np.uint8) ^ np.uint8(128)
                for target in (np.zeros_like(unsigned), unsigned):  # in place too
                    numbers = (rows, length, multiplier, left_shift)
                    host.intaglio_softmax_unsigned(pointer(unsigned), *numbers, pointer(target))
                    assert np.array_equal(target, expected.view(np.uint8) ^ np.uint8(128))
                host.intaglio_softmax(pointer(x), rows, length, multiplier, left_shift, pointer(x))
                assert np.array_equal(x, expected)


def walked(loops: tuple) -> list[int]:
    """The addresses that nested loops visit."""
    found = [0]
    for loop in loops:
        found = [at + i * loop.stride for at in found for i in range(loop.count)]
    return found


@pytest.mark.parametrize(
    "shape, form, padded, loops",
    [
        ((1, 4, 5, 3), None, 16, [(4, 16), (15, 1)]),
        ((1, 4, 4, 4), None, 16, [(64, 1)]),
        ((1, 4, 5, 3), ((1, 4, 5, 3), (0, 3, 1, 2)), 16, [(3, 1), (4, 16), (5, 3)]),
        ((2, 4, 5, 3), ((2, 4, 5, 3), (0, 3, 1, 2)), 16, [(2, 64), (3, 1), (4, 16), (5, 3)]),
        ((1, 4, 4, 4), ((1, 4, 4, 4), (0, 3, 1, 2)), 16, [(4, 1), (16, 4)]),
        ((1, 60), ((1, 4, 5, 3), (0, 3, 1, 2)), 64, [(3, 1), (20, 3)]),
        ((1, 1), None, 16, [(1, 1)]),
    ],
)
def test_loops_walk_the_files_order(shape, form, padded, loops) -> None:  # type: ignore[no-untyped-def]
    row = shape[-1] * (shape[-2] if len(shape) == 4 else 1)
    count = int(np.prod(shape))
    place = Place(0, count // row, row, row + -row % padded)
    held = FileForm(*form, (count,), np.dtype(np.uint8)) if form else None
    offsets = addresses(place, Tensor("t", shape, np.dtype(np.int8), form=held))
    found = loops_of("t", offsets)
    assert [(loop.count, loop.stride) for loop in found] == loops
    assert walked(found) == offsets.tolist()
    # The offsets themselves, from an array that lies in padded rows.
    memory = np.zeros((place.rows, place.row_stride), np.int8)
    array = (np.arange(count) % 251 - 125).astype(np.int8).reshape(shape)
    memory[:, :row] = array.reshape(place.rows, row)
    expected = array if held is None else array.reshape(held.unfolded).transpose(held.permutation)
    assert np.array_equal(memory.ravel()[offsets], expected.ravel())


def test_an_order_without_loops_is_refused() -> None:
    form = FileForm((6, 5), (1, 0), (30,), np.dtype(np.int8))
    tensor = Tensor("odd one", (1, 10, 1, 3), np.dtype(np.int8), form=form)
    with pytest.raises(InputError, match="'odd one': the driver cannot walk"):
        loops_of("odd one", addresses(Place(0, 10, 3, 8), tensor))
