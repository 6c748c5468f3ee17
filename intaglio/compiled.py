"""numba's compiler with a cache of our own: `@compiled` for `@numba.njit(cache=True)`.

numba's own looks at a function's own file only, so a change in what it calls goes unnoticed; it trusts files as they are;
and where it finds no folder to write it raises. Here a file lies in a folder named by the module, the sources that it
imports and the versions of the compilers; it begins with the hash of what follows; and without a folder there is none.
A program's other uses of numba are left alone.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache as memoized
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import llvmlite
import numba
import numpy
from numba.core import sigutils
from numba.core.caching import NullCache
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult
from numba.core.dispatcher import Dispatcher
from numba.core.serialize import dumps

from intaglio.cache import remove
from intaglio.places import cache_root
from intaglio.sources import texts_behind
from intaglio.unfinished import unfinished

KEPT = 16
"""Versions of a module that stay in the cache: as many checkouts may be in use."""
_HASH = hashlib.sha256().digest_size
_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(*uses: str, **options: Any) -> Callable[[_Function], _Function]:
    """A decorator: numba.njit with these options, and the cache. uses: modules whose sources decide what it compiles
    to, too."""

    def decorate(function: _Function) -> _Function:
        made: _Function = _dispatcher(function, uses, "", options)
        return made

    return decorate


def specialised(function: Callable[..., Any], module: str, options: Mapping[str, Any], **names: Any) -> Any:
    """`compiled` of a function in which global names stand for what is given, of a module: an interface without its
    cost."""
    of = FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__, function.__defaults__)
    of.__module__, of.__qualname__ = function.__module__, function.__qualname__
    given = ", ".join(f"{name}: {value.__module__}.{value.__name__}" for name, value in names.items())
    return _dispatcher(of, (module,), given, options)


def _dispatcher(function: Callable[..., Any], uses: tuple[str, ...], given: str, options: Mapping[str, Any]) -> Any:
    dispatcher: Any = numba.njit(**options)(function)
    compiles = isinstance(dispatcher, Dispatcher)  # else numba's compiler is switched off
    if compiles:
        dispatcher._cache = _Cache(function, uses, given)
    return dispatcher


def compiled_for_c(signature: Any, *uses: str) -> Callable[[Callable[..., Any]], CFunc]:
    """A decorator: numba.cfunc with the cache. uses: as `compiled`'s."""

    def decorate(function: Callable[..., Any]) -> CFunc:
        callback: Any = CFunc(function, sigutils.normalize_signature(signature), locals={}, options={})
        callback._cache = _Cache(function, uses)
        callback.compile()
        made: CFunc = callback
        return made

    return decorate


class _Cache(NullCache):
    """The cache that numba asks before it compiles `function`, and tells what it compiled."""

    def __init__(self, function: Callable[..., Any], uses: tuple[str, ...] = (), given: str = ""):
        """given: what tells specialised functions apart that are of one code and use one module."""
        self._function, self._given = function, given
        # Now, for the sources may change while the process runs what it imported.
        self._version = _version(function.__module__, *uses)

    @property
    def cache_path(self) -> str | None:
        folder = self._folder()
        return str(folder) if folder else None

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        if path is None:
            return None
        try:
            stored = path.read_bytes()
            if hashlib.sha256(stored[_HASH:]).digest() != stored[:_HASH]:
                return None
            of, parts = pickle.loads(stored[_HASH:])
            return CompileResult._rebuild(target_context, *parts) if of == sig else None
        except Exception:  # whatever it is, the function can be compiled
            return None

    def save_overload(self, sig: Any, cres: CompileResult) -> None:
        if cres.library.has_dynamic_globals or any(not lifted.can_cache for lifted in cres.lifted):
            return
        path = self._path(sig, cres.codegen)
        if path is None:
            return
        data = dumps((sig, cres._reduce()))
        try:
            _write(path, hashlib.sha256(data).digest() + data)
        except OSError:
            return

    def _path(self, sig: Any, codegen: Any) -> Path | None:
        """The file for a function, its types, and the processor that the code is for."""
        folder = self._folder()
        if folder is None:
            return None
        name = self._function.__qualname__.replace("<locals>.", "")
        parts = repr((str(sig), codegen.magic_tuple(), self._function.__code__.co_code, self._given))
        return folder / f"{name}.{hashlib.sha256(parts.encode()).hexdigest()[:32]}"

    def _folder(self) -> Path | None:
        root = cache_root()
        if root is None or self._version is None:
            return None
        return _ready(root / "compiled", f"{self._function.__module__}-", self._version)


@memoized
def _version(*modules: str) -> str | None:
    """The hash of all that decides what functions of the modules compile to; None where their sources cannot be
    read."""
    texts: list[str] = []
    for module in modules:
        found = texts_behind(module)
        if found is None:
            return None
        texts += found
    versions = (sys.version, numba.__version__, llvmlite.__version__, numpy.__version__)
    return hashlib.sha256("\0".join((*versions, *texts)).encode()).hexdigest()[:32]


@memoized
def _ready(parent: Path, module: str, version: str) -> Path | None:
    """The folder for a version of a module, made if it is missing; None where that cannot be."""
    folder = parent / f"{module}{version}"
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _forget(parent, module)
    except (OSError, ValueError):
        return None
    with suppress(OSError):
        os.utime(folder)
    return folder


def _forget(parent: Path, prefix: str) -> None:
    """Keeps the folders of a module that were used last. One that another process still uses it makes again, or does
    without."""
    with suppress(OSError):
        folders = [path for path in parent.iterdir() if path.name.startswith(prefix)]
        for old in sorted(folders, key=lambda path: path.stat().st_mtime)[:-KEPT]:
            remove(old)


def _write(path: Path, data: bytes) -> None:
    """Appears whole or not at all, in the place of whatever was there."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    with unfinished(Path(temporary)):
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if path.is_dir() and not path.is_symlink():
            remove(path)
        os.replace(temporary, path)
