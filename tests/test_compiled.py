"""numba's compiled functions: kept where they may be, used only as they were written, and compiled again otherwise."""

from __future__ import annotations

import hashlib
import importlib
import os
import pickle
import pkgutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps

import intaglio
from intaglio import compiled, sources
from intaglio.machine.isa import Command, Opcode
from intaglio.sim import requantize
from intaglio.sim.operands import operands_of
from tests.damage import DAMAGES

ROOT = Path(__file__).parent.parent
FORMS = {opcode: type(operands_of(Command(opcode, {}))) for opcode in Opcode}
NOWHERE = "/dev/null/none"
CALL = """if True:
    from intaglio.sim.requantize import takes, wrap32
    found = takes(5, 0), wrap32(2**31 + 5)
    print(found, sum(wrap32.stats.cache_hits.values()), sum(takes.stats.cache_hits.values()))
"""
"""Prints results, and for two functions whether the cache had them."""


def run(script: str, cache: str, home: str = NOWHERE, check: bool = True, **more: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "NUMBA_", "INTAGLIO_"))}
    environment = {**kept, "HOME": home, **({"INTAGLIO_CACHE": cache} if cache else {}), **more}
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout.strip()


def files(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "compiled").glob("*/*") if not path.name.startswith("."))


@pytest.fixture(scope="module")
def result() -> str:
    """Without any cache."""
    shown, here, there = run(CALL, NOWHERE).rsplit(" ", 2)
    assert (here, there) == ("0", "0")
    return shown


def test_what_was_compiled_is_found_again(tmp_path: Path, result: str) -> None:
    cache = tmp_path / "a b Ünï 数"
    assert run(CALL, str(cache)) == f"{result} 0 0"
    held = {path: path.read_bytes() for path in files(cache)}
    assert {path.parent.name.rpartition("-")[0] for path in held} == {"intaglio.sim.requantize"}
    assert {path.name.partition(".")[0] for path in held} >= {"wrap32", "takes"}
    assert run(CALL, str(cache)) == f"{result} 1 1"
    assert {path: path.read_bytes() for path in files(cache)} == held


def called(argument: object = 2**31 + 5) -> tuple[object, int]:
    """The result of a function as a new process would have it, and how often the cache had it."""
    function = compiled.compiled()(requantize.wrap32.py_func)
    return function(argument), sum(function.stats.cache_hits.values())


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path))
    assert called() == (5 - 2**31, 0)
    assert called() == (5 - 2**31, 1)
    (path,) = files(tmp_path)
    DAMAGES[damage](path)
    assert called() == (5 - 2**31, 0)
    assert files(tmp_path) == [path] and path.is_file() and not path.is_symlink()
    assert called() == (5 - 2**31, 1)


def test_a_file_of_other_types_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if two names fell together: whole, but not what is asked for."""
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path))
    called()
    (wide,) = files(tmp_path)
    assert called(np.uint8(5)) == (5, 0)
    (narrow,) = set(files(tmp_path)) - {wide}
    wide.write_bytes(narrow.read_bytes())
    assert called() == (5 - 2**31, 0)
    assert called() == (5 - 2**31, 1)


def test_a_whole_file_that_cannot_be_read_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path))
    called()
    (path,) = files(tmp_path)
    for data in (b"", b"no pickle", pickle.dumps(3), pickle.dumps((1, 2))):
        path.write_bytes(hashlib.sha256(data).digest() + data)
        assert called() == (5 - 2**31, 0)
        assert called() == (5 - 2**31, 1)


@pytest.mark.parametrize("cache, home", [(NOWHERE, NOWHERE), ("", NOWHERE), ("", "relative")])
def test_without_a_folder_it_compiles_all_the_same(result: str, cache: str, home: str) -> None:
    before = set(ROOT.iterdir()) | set((ROOT / "intaglio" / "sim" / "__pycache__").glob("*.nb*"))
    assert run(CALL, cache, home) == f"{result} 0 0"
    assert set(ROOT.iterdir()) | set((ROOT / "intaglio" / "sim" / "__pycache__").glob("*.nb*")) == before


def test_it_lies_in_the_home(tmp_path: Path, result: str) -> None:
    assert run(CALL, "", str(tmp_path)) == f"{result} 0 0"
    assert files(tmp_path / ".cache" / "intaglio")
    assert run(CALL, "", str(tmp_path)) == f"{result} 1 1"


def test_two_at_once(tmp_path: Path, result: str) -> None:
    script = f"from tests.test_compiled import *\nprint(run(CALL, {str(tmp_path)!r}))"
    started = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for process in started:
        assert process.communicate(timeout=120)[0].startswith(result) and process.returncode == 0
    assert run(CALL, str(tmp_path)) == f"{result} 1 1"


def test_killed_in_the_midst(tmp_path: Path, result: str) -> None:
    environment = {**os.environ, "INTAGLIO_CACHE": str(tmp_path)}
    for wait in (0.0, 0.05, 0.2):
        process = subprocess.Popen([sys.executable, "-c", CALL], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
        limit = time.monotonic() + 60
        while not list((tmp_path).glob("compiled/*/*")) and process.poll() is None:
            assert time.monotonic() < limit
            time.sleep(0.002)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert run(CALL, str(tmp_path)).startswith(result)
    assert run(CALL, str(tmp_path)) == f"{result} 1 1"


def test_other_uses_of_numba_are_left_alone(tmp_path: Path) -> None:
    """A notebook's own functions are cached where numba would have put them."""
    (tmp_path / "mine.py").write_text("import numba\n@numba.njit(cache=True)\ndef twice(x):\n    return 2 * x\n")
    script = (
        CALL
        + f"""
    import os, sys, numba
    from numba.core import caching
    sys.path.insert(0, {str(tmp_path)!r})
    import mine
    assert mine.twice(4) == 8 and not numba.config.CACHE_DIR and "NUMBA_CACHE_DIR" not in os.environ
    assert not numba.config.CACHE_LOCATOR_CLASSES if hasattr(numba.config, "CACHE_LOCATOR_CLASSES") else True
    """
    )
    run(script, str(tmp_path / "cache"))
    assert {path.suffix for path in (tmp_path / "__pycache__").iterdir()} >= {".nbi", ".nbc"}
    assert not [path for path in files(tmp_path / "cache") if "twice" in path.name]


def test_numba_switched_off() -> None:
    """NUMBA_DISABLE_JIT, for a debugger."""
    script = "from intaglio.sim.requantize import wrap32; print(type(wrap32).__name__, wrap32(2**31 + 5))"
    assert run(script, NOWHERE, NUMBA_DISABLE_JIT="1") == f"function {5 - 2**31}"


def ours() -> Iterator[tuple[str, str, Dispatcher]]:
    for found in pkgutil.walk_packages(intaglio.__path__, "intaglio."):
        if found.name.endswith(("__main__", "yosys_process", "demo")):
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == found.name:
                yield found.name, name, value


def test_every_function_has_this_cache_and_no_other() -> None:
    functions = list(ours())
    assert len(functions) > 80
    for module, name, function in functions:
        assert isinstance(function._cache, compiled._Cache), (module, name)


def test_a_version_covers_all_that_a_function_is_compiled_from() -> None:
    """The modules of the functions that it calls, and of the constants that numba takes from them."""
    for module, name, function in ours():
        texts = sources.texts_behind(module)
        assert texts is not None
        covered = set(texts[::2])
        waiting, seen = [function.py_func], set()
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            assert one.__module__ in covered, (module, name, one)
            called = [one.__globals__.get(word) for word in one.__code__.co_names]
            waiting += [value.py_func for value in called if isinstance(value, Dispatcher)]
            for value in called:
                home = type(value).__module__ if not isinstance(value, type) else value.__module__
                assert not home.startswith("intaglio.") or home in covered, (module, name, value)


@pytest.mark.parametrize(
    "changed, counts",
    [("vector", True), ("requantize", True), ("activation_port", True), ("cycle_model", False)],
)
def test_a_change_of_a_called_module_is_a_new_version(
    monkeypatch: pytest.MonkeyPatch, changed: str, counts: bool
) -> None:
    """numba's own cache looks at a function's own file only."""
    version, read = compiled._version.__wrapped__, sources._read
    before = version("intaglio.sim.vector")

    def altered(module: str) -> Any:
        text, imported = read(module)
        return text + "# more\n" * (module == f"intaglio.sim.{changed}"), imported

    monkeypatch.setattr(sources, "_read", altered)
    assert (version("intaglio.sim.vector") != before) == counts


def test_another_process_finds_the_types_of_what_was_compiled() -> None:
    """Kernels take a command's fields; were their types pickled by value, each process would compile them again."""
    code = f"{{op: type(operands_of(Command(op, {{}}))) for op in Opcode}} == pickle.loads({dumps(FORMS)!r})"
    imports = "import pickle; from intaglio.machine.isa import *; from intaglio.sim.operands import operands_of"
    assert run(f"{imports}; print({code})", NOWHERE) == "True"


@pytest.mark.parametrize("package", ["numba", "numpy", "llvmlite"])
def test_another_compiler_is_a_new_version(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    before = compiled._version.__wrapped__("intaglio.sim.vector")
    monkeypatch.setattr(getattr(compiled, package), "__version__", "other")
    assert compiled._version.__wrapped__("intaglio.sim.vector") != before


def test_imports_in_any_form_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    texts = {
        "__init__.py": "",
        "a/__init__.py": "from intaglio.x import (\n    y,\n    z as w,\n)\n",
        "a/b.py": "import intaglio.a.c\n",
        "a/c.py": "def f():\n    from intaglio.a import late\n",
        "a/late.py": "",
        "x.py": "from intaglio import v as q, u\n",
        "u.py": "",
        "v.py": "import os\nfrom intaglio.a import b\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sources, "_ROOT", tmp_path)
    sources._file.cache_clear()
    sources._read.cache_clear()
    try:
        assert sources.texts_behind("intaglio.a")[::2] == tuple(
            f"intaglio{rest}" for rest in ("", ".a", ".a.b", ".a.c", ".u", ".v", ".x")
        )
        assert sources.texts_behind("intaglio.none") is None
    finally:
        sources._file.cache_clear()
        sources._read.cache_clear()


def test_few_versions_of_a_module_are_kept(tmp_path: Path) -> None:
    for age in range(compiled.KEPT + 5):
        folder = tmp_path / f"m-{age}"
        folder.mkdir()
        (folder / "f").write_text("x")
        os.utime(folder, (1000 - age, 1000 - age))
    (tmp_path / "other-1").mkdir()
    os.utime(tmp_path / "other-1", (1, 1))
    assert compiled._ready(tmp_path, "m-", "new") == tmp_path / "m-new"
    assert {path.name for path in tmp_path.iterdir()} == {
        "m-new",
        "other-1",
        *(f"m-{age}" for age in range(compiled.KEPT - 1)),
    }
