"""The cache: made once, whole or not at all, and never used but as it was made."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from intaglio import cache, places
from intaglio.errors import InputError
from tests.damage import DAMAGES

NOWHERE = "/dev/null/none"
"""A path that nobody can make, root neither."""


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path))
    return tmp_path / "rtl"


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INTAGLIO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", NOWHERE)


class Maker:
    """Makes a file of some text, or a folder with one, and counts."""

    def __init__(self, text: str = "made", in_folder: bool = False):
        self.text, self.in_folder, self.scratches = text, in_folder, list[Path]()

    def __call__(self, scratch: Path) -> Path:
        self.scratches.append(scratch)
        assert list(scratch.iterdir()) == [] and places.is_plain(scratch)
        path = scratch / "a" / "b" if self.in_folder else scratch / "b"
        path.parent.mkdir(exist_ok=True)
        path.write_text(self.text)
        return scratch / "a" if self.in_folder else path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_file_is_made_once(empty_cache: Path) -> None:
    make = Maker()
    path = cache.made("a.v", make)
    assert path.read_text() == "made" and path.parent == empty_cache and path.suffix == ".v"
    assert cache.made("a.v", make) == path
    assert len(make.scratches) == 1 and not make.scratches[0].exists()
    assert names(empty_cache) == [path.name]


def test_names_tell_files_apart(empty_cache: Path) -> None:
    paths = {name: cache.made(name, Maker(name)) for name in ("a.v", "a.so", "a.b.v", "b.v", "a")}
    assert {name: cache.made(name, Maker("never")).read_text() for name in paths} == {name: name for name in paths}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again(empty_cache: Path, damage: str) -> None:
    path = cache.made("a.v", Maker())
    DAMAGES[damage](path)
    again = Maker()
    assert cache.made("a.v", again).read_text() == "made" and len(again.scratches) == 1
    assert names(empty_cache) == [path.name] and path.is_file() and not path.is_symlink()


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file cut": lambda folder: (folder / "b").write_text("mad"),
    "a file more": lambda folder: (folder / "c").write_text(""),
    "a file less": lambda folder: (folder / "b").unlink(),
    "another name": lambda folder: (folder / "b").rename(folder / "c"),
    "a link": lambda folder: (
        (folder / "b").rename(folder.parent / "b"),
        (folder / "b").symlink_to(folder.parent / "b"),
    ),
    "a permission": lambda folder: (folder / "b").chmod(0o755),
    "all": shutil.rmtree,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_is_made_again(empty_cache: Path, change: str) -> None:
    folder = cache.made("a", Maker(in_folder=True))
    assert cache.made("a", Maker("never", in_folder=True)) == folder
    CHANGES[change](folder)
    again = Maker(in_folder=True)
    assert (cache.made("a", again) / "b").read_text() == "made" and len(again.scratches) == 1
    assert os.listdir(folder) == ["b"] and not (folder / "b").is_symlink()


def test_a_failure_leaves_nothing(empty_cache: Path) -> None:
    def fail(scratch: Path) -> Path:
        (scratch / "half").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cache.made("a.v", fail)
    assert names(empty_cache) == []
    assert cache.made("a.v", Maker()).read_text() == "made"


SLOW = """if True:
    import sys, time
    from intaglio import cache
    def make(scratch):
        with open(cache.folder() / "calls", "a") as file:
            file.write("x")
        (scratch / "x").write_text("made")
        time.sleep(float(sys.argv[1]))
        return scratch / "x"
    cache.made("a.v", make)
"""


def test_processes_do_not_make_a_file_twice(empty_cache: Path) -> None:
    started = [subprocess.Popen([sys.executable, "-c", SLOW, "0.5"]) for _ in range(2)]
    assert [process.wait(60) for process in started] == [0, 0]
    assert (empty_cache / "calls").read_text() == "x"


def test_a_killed_process_leaves_nothing_that_stays(empty_cache: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SLOW, "600"])
    limit = time.monotonic() + 60
    while not list(empty_cache.glob("a.v.new.*/x")):
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (empty_cache / "calls").unlink()
    path = cache.made("a.v", Maker())
    assert path.read_text() == "made" and names(empty_cache) == [path.name]


def test_keys_tell_parts_apart() -> None:
    assert cache.key("ab", "c") != cache.key("a", "bc")
    assert cache.key("a") == cache.key("a")


@pytest.mark.parametrize("name", ["a b", "Ünï cødé 数", "$(x)", "a;b", "a'b"])
def test_any_name_of_the_folder_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What is made is made in a plain folder; Maker asserts it."""
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path / name))
    for in_folder in (False, True):
        make = Maker(in_folder=in_folder)
        path = cache.made(f"a{in_folder}", make)
        assert path.parent == tmp_path / name / "rtl" and cache.made(f"a{in_folder}", make) == path
        assert not make.scratches[0].exists()
    assert len(names(path.parent)) == 2


def test_a_temporary_folder_with_a_space_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spaced = tmp_path / "a b"
    spaced.mkdir()
    monkeypatch.setattr(places.tempfile, "tempdir", str(spaced))
    with places.plain_folder("x.") as folder:
        assert places.is_plain(folder)
    (tmp_path / "link").symlink_to(spaced)
    assert not places.is_plain(tmp_path / "link")  # tools resolve links
    monkeypatch.setattr(places, "_ELSEWHERE", ())
    with (
        pytest.raises(InputError, match=r"no temporary folder: none of .*a b .*; set TMPDIR"),
        places.plain_folder("x."),
    ):
        pass


@pytest.mark.parametrize("chosen", ["file", "file/below"])
def test_a_chosen_folder_that_cannot_be_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path / chosen))
    with pytest.raises(InputError, match=rf"cache folder .*{chosen}/rtl: .*; set INTAGLIO_CACHE to a folder"):
        cache.made("a.v", Maker())


def test_without_a_home_it_lasts_as_long_as_the_process(no_home: None, tmp_path: Path) -> None:
    script = """if True:
        from intaglio import cache
        from tests.test_cache import Maker
        make = Maker()
        first = cache.made("a.v", make)
        assert cache.made("a.v", make) == first and len(make.scratches) == 1 and first.read_text() == "made"
        print(first)
    """
    here = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=here)
    assert done.returncode == 0, done.stderr
    first = Path(done.stdout.strip())
    assert first.name.startswith("a.") and not first.parent.exists()


def test_a_home_that_can_only_be_read(no_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it holds is used; what it lacks is made elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    held = cache.made("a.v", Maker())
    place = tmp_path / ".cache" / "intaglio" / "rtl"
    assert held.parent == place
    access = os.access
    monkeypatch.setattr(cache.os, "access", lambda path, mode: Path(path) != place and access(path, mode))
    assert cache.made("a.v", Maker("never")) == held
    other = cache.made("b.v", Maker())
    assert other.read_text() == "made" and other.parent != place and names(place) == [held.name]


def test_it_lies_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTAGLIO_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "intaglio" / "rtl"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, its standard says
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.folder() == tmp_path / "home" / ".cache" / "intaglio" / "rtl"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INTAGLIO_CACHE", "here")
    assert cache.folder() == tmp_path / "here" / "rtl"
