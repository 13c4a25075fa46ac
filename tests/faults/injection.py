"""Failures put into a dump from outside: the N-th function that it calls raises, whatever that function is."""

from __future__ import annotations

import errno
import gc
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import replant
from live.program import tree
from replant.errors import ReplantError
from replant.flows.dump import dump

_ROOT = str(Path(replant.__file__).parent)
_PARTS = tuple(f"{_ROOT}/{part}/" for part in ("flows", "tracee", "pages", "image", "resources"))
_SPARED = ("<genexpr>", "__enter__", "__exit__", "close", "_close", "abort", "remove")
ERRORS: tuple[Callable[[], BaseException], ...] = (
    lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    lambda: OSError(errno.EIO, os.strerror(errno.EIO)),
    MemoryError,
    KeyboardInterrupt,
)


class Injector:
    """A profile function that counts calls of functions of ours, and raises ``error`` in the one of that ``number``.

    It raises once: what is called to clean up afterwards runs as ever. ``place`` is where it was. Every step of a
    generator is a call. `_SPARED` are generator expressions, of which there are thousands, and the first instruction
    of what takes over or gives back, where Python itself has no way to be safe.
    """

    def __init__(self, number: int, error: BaseException) -> None:
        self.left = number
        self.error = error
        self.place = ""

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_PARTS) and code.co_name not in _SPARED:
            self.left -= 1
            if self.left < 0:
                sys.setprofile(None)
                self.place = f"{code.co_filename.removeprefix(_ROOT)}:{frame.f_lineno} {code.co_name}"
                raise self.error


def dump_with_fault(pid: int, image: Path, number: int, error: BaseException) -> tuple[str, str]:
    """In a child process: where it was raised (``""``: there are not so many calls), and what came out of the dump."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _leave_with(lambda: _dump(pid, image, Injector(number, error)), writing)
    os.close(writing)
    with open(reading) as pipe:
        text = pipe.read()
    assert os.waitpid(child, 0)[1] == 0, f"the dumper itself broke: {text}"
    place, _, outcome = text.partition("\n")
    return place, outcome


def _leave_with(run: Callable[[], str], writing: int) -> None:
    code = 1
    try:
        os.write(writing, run().encode())
        code = 0
    except BaseException:
        os.write(writing, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _dump(pid: int, image: Path, injector: Injector) -> str:
    open_before = descriptors()
    outcome = "done"
    sys.setprofile(injector)
    try:
        dump(pid, str(image))
    except BaseException as raised:
        sys.setprofile(None)
        if raised is not injector.error and not isinstance(raised, ReplantError):
            raise
        outcome = f"{type(raised).__name__}: {raised}"
        del raised
    finally:
        sys.setprofile(None)
    injector.error.__traceback__ = None
    gc.collect()  # tracebacks hold frames, and frames what was open
    left = descriptors() - open_before
    assert not left, f"after a fault at {injector.place} descriptors are left: {left}"
    assert not held(pid), f"after a fault at {injector.place} tasks are still traced: {held(pid)}"
    return f"{injector.place}\n{outcome}"


def held(root: int) -> list[str]:
    """The tasks of a tree that this process traces."""
    traced = f"TracerPid:\t{os.getpid()}\n"
    tasks = [task for pid in tree(root) for task in Path(f"/proc/{pid}/task").iterdir()]
    return [task.name for task in tasks if traced in (task / "status").read_text()]


def descriptors() -> set[str]:
    """What this process has open, with numbers."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:  # that of the listing
            continue
    return found
