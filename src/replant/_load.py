"""A short way from ``import`` to bytecode, for the modules of replant alone.

A dump loads some 130 small modules. Two thirds of the time that takes is spent by importlib in finding each of them:
listing folders, trying suffixes, joining paths. But a module of this package can only be in one place, so it is looked
for there: its cached bytecode is taken if the cache was made from the source that lies beside it (the header's time
and size, as importlib itself checks them). In every other case nothing is found here, and importlib does what it does.
"""

from __future__ import annotations

import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

_HEADER = 16  # PEP 552: magic number, flags, time and size of the source
_BY_TIME = b"\0\0\0\0"
_SUFFIX = f".{sys.implementation.cache_tag}.pyc"


class _Loader(SourceFileLoader):
    """The ordinary loader, which has been handed the code already."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code: CodeType | None = code

    def get_code(self, fullname: str) -> CodeType | None:
        """The code at hand, once; whoever asks again gets what the source says then."""
        code, self._code = self._code, None
        return code if code is not None else super().get_code(fullname)


class Finder:
    """Finds modules below the folders of this package (`sys.meta_path`)."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module whose cached bytecode is up to date, None for all others."""
        if not name.startswith("replant.") or not path:
            return None
        folder, last = path[0], name[name.rindex(".") + 1 :]
        found = _cached(folder, last)
        if found is not None:
            return _spec(name, *found, is_package=False)
        found = _cached(f"{folder}/{last}", "__init__")
        return _spec(name, *found, is_package=True) if found is not None else None


def _spec(name: str, source: str, cache: str, code: CodeType, *, is_package: bool) -> ModuleSpec:
    spec = ModuleSpec(name, _Loader(name, source, code), origin=source, is_package=is_package)
    spec.has_location = True
    spec.cached = cache
    if is_package:
        spec.submodule_search_locations = [source[: source.rindex("/")]]
    return spec


def _cached(folder: str, name: str) -> tuple[str, str, CodeType] | None:
    """Source, cache file and code of a module that lies in ``folder``, if the cache is that source's."""
    source, cache = f"{folder}/{name}.py", f"{folder}/__pycache__/{name}{_SUFFIX}"
    try:
        st = os.stat(source)
        fd = os.open(cache, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = os.read(fd, os.fstat(fd).st_size + 1)
    finally:
        os.close(fd)
    made_from = int(st.st_mtime) & 0xFFFFFFFF, st.st_size & 0xFFFFFFFF
    header = MAGIC_NUMBER + _BY_TIME + made_from[0].to_bytes(4, "little") + made_from[1].to_bytes(4, "little")
    if data[:_HEADER] != header:
        return None
    try:
        return source, cache, loads(memoryview(data)[_HEADER:])
    except (EOFError, ValueError, TypeError):  # cut off: importlib says what it thinks of that
        return None


def install() -> None:
    """Put the finder first, where caches have the names and places that it knows."""
    if sys.pycache_prefix is None and not sys.flags.optimize and Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)
