"""A short way from ``import`` to bytecode, for the modules of replant alone.

A dump loads some 160 small modules. By importlib alone it needs 5.5 times the CPU time in which ``python -I -S`` starts
until it does something; with the first of these two short ways 4.6 times, with both 3.6 (bench/startup.py):

* A module of this package can only be in one place, so it is looked for there (`Finder`): its cached bytecode is taken
  if it was made from the source that lies beside it (the header's time and size, as importlib itself checks them).
* The modules of a command are kept in one file, its *bundle*, beside the other bytecode (`together`). It is used if
  every source in it has the time and size that it was made from; otherwise it is made anew.

::

    bundle: magic number of the interpreter's bytecode | marshal of (folder, rows)
    row:    name, source, time of the source in ns, its size, whether it is a package, code

Rows are in the order in which modules were complete: each finds what it imports loaded, and is spared importlib's
search. In every case of doubt nothing is found here, and importlib does what it does. A bundle is trusted as bytecode
is: who may write into ``__pycache__`` decides what runs.
"""

from __future__ import annotations

import gc
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from _imp import _fix_co_filename  # type: ignore[attr-defined]
from marshal import dumps, loads
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import CodeType

    Row = tuple[str, str, int, int, bool, CodeType]

_HEADER = 16  # PEP 552: magic number, flags, time and size of the source
_BY_TIME = b"\0\0\0\0"
_SUFFIX = f".{sys.implementation.cache_tag}.pyc"
_DAMAGED = (EOFError, ValueError, TypeError)  # what marshal says of data that is cut off or none of its own
_FOLDER = __file__.rpartition("/")[0]

_ready: dict[str, tuple[str, bool, CodeType]] = {}  # of a bundle: modules that are not loaded yet


class _Loader(SourceFileLoader):
    """The ordinary loader, which has been handed the code already."""

    def __init__(self, name: str, path: str, code: CodeType | None) -> None:
        super().__init__(name, path)
        self._code = code

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
        if name in _ready:
            return _spec(name, *_ready.pop(name))
        folder, last = path[0], name[name.rindex(".") + 1 :]
        for source, is_package in ((f"{folder}/{last}.py", False), (f"{folder}/{last}/__init__.py", True)):
            code = _cached(source)
            if code is not None:
                return _spec(name, source, is_package, code)
        return None


def _spec(name: str, source: str, is_package: bool, code: CodeType | None) -> ModuleSpec:
    spec = ModuleSpec(name, _Loader(name, source, code), origin=source, is_package=is_package)
    spec.has_location = True
    spec.cached = _cache(source)
    if is_package:
        spec.submodule_search_locations = [source[: source.rindex("/")]]
    return spec


def _cache(source: str) -> str:
    folder, _, file = source.rpartition("/")
    return f"{folder}/__pycache__/{file[:-3]}{_SUFFIX}"


def _cached(source: str) -> CodeType | None:
    """The code of a module, if its cache is of that source."""
    try:
        st = os.stat(source)
        data = _read(_cache(source))
    except OSError:
        return None
    made_from = int(st.st_mtime) & 0xFFFFFFFF, st.st_size & 0xFFFFFFFF
    header = MAGIC_NUMBER + _BY_TIME + made_from[0].to_bytes(4, "little") + made_from[1].to_bytes(4, "little")
    if data[:_HEADER] != header:
        return None
    try:
        code: CodeType = loads(memoryview(data)[_HEADER:])
    except _DAMAGED:  # importlib says what it thinks of that
        return None
    _fix_co_filename(code, source)  # the folder may have been moved since
    return code


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, os.fstat(fd).st_size + 1)
    finally:
        os.close(fd)


def together(what: str, load: Callable[[], object]) -> None:
    """Call ``load``, which imports what a command needs; all of it comes from the bundle ``what`` if that is in order.

    Only the first work of a process tells what belongs to a bundle; later, ``load`` is just called. The collector of
    garbage rests meanwhile: nothing becomes garbage here, and looking takes a tenth of the time.
    """
    if Finder not in sys.meta_path or "replant.flows" in sys.modules:
        load()
        return
    bundle = f"{_FOLDER}/__pycache__/{what}{_SUFFIX[:-4]}.bundle"
    before = set(sys.modules)
    gc.disable()
    try:
        rows = _up_to_date(bundle)
        _run(rows)
        load()
    finally:
        gc.freeze()
        gc.enable()
    if not rows and not sys.dont_write_bytecode:
        _write(bundle, [n for n in sys.modules if n.startswith("replant.") and n not in before])


def _up_to_date(bundle: str) -> list[Row]:
    """The rows of a bundle, none if any of its sources is another one now."""
    try:
        data = _read(bundle)
        if not data.startswith(MAGIC_NUMBER):
            return []
        folder, rows = loads(memoryview(data)[len(MAGIC_NUMBER) :])
        if folder == _FOLDER and all(_stamp(source) == (time, size) for _, source, time, size, _, _ in rows):
            return rows  # type: ignore[no-any-return]
    except (OSError, *_DAMAGED):
        pass
    return []


def _stamp(source: str) -> tuple[int, int]:
    st = os.stat(source)
    return st.st_mtime_ns, st.st_size


def _run(rows: list[Row]) -> None:
    """Load modules one after another; a package that imports what is in it finds that in `_ready`."""
    modules = sys.modules
    _ready.update({name: (source, pack, code) for name, source, _, _, pack, code in rows if name not in modules})
    for name, *_ in rows:
        parent, _, last = name.rpartition(".")
        if parent not in modules:
            __import__(parent)
        if name in _ready:
            setattr(modules[parent], last, _loaded(name, *_ready.pop(name)))


def _loaded(name: str, source: str, is_package: bool, code: CodeType) -> ModuleType:
    """The module, as importlib makes it; the questions that it asks of a loader take as long as running the code."""
    spec = _spec(name, source, is_package, None)
    module = ModuleType(name)
    module.__dict__.update(
        __spec__=spec, __loader__=spec.loader, __package__=spec.parent, __file__=source, __cached__=spec.cached
    )
    if is_package:
        module.__path__ = spec.submodule_search_locations or []
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return sys.modules[name]


def _write(bundle: str, names: Iterable[str]) -> None:
    """Make a bundle of modules that are loaded. Where that cannot be written, the next start takes as long as this."""
    draft = f"{bundle}.{os.getpid()}"
    try:
        body = dumps((_FOLDER, [_row(name) for name in names]))
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError:
        return
    try:
        with open(fd, "wb") as f:
            f.write(MAGIC_NUMBER + body)
        os.replace(draft, bundle)
    except OSError:
        os.unlink(draft)


def _row(name: str) -> Row:
    """What a bundle keeps of a module. The stamp is taken first: a source that changes meanwhile makes it void."""
    spec = sys.modules[name].__spec__
    if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
        raise FileNotFoundError(f"{name} has no source")
    stamp, code = _stamp(spec.origin), spec.loader.get_code(name)
    if code is None:
        raise FileNotFoundError(f"{name} has no code")
    return name, spec.origin, *stamp, spec.submodule_search_locations is not None, code


def install() -> None:
    """Put the finder first, where caches have the names and places that it knows."""
    if sys.pycache_prefix is None and not sys.flags.optimize and Finder not in sys.meta_path:
        sys.meta_path.insert(0, Finder)
