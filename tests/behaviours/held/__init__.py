"""Things that a program can have, each a function that gets it and gives back its check, to be called again and again.

``python -m held MODULE.NAME …`` has them all, says ``ready`` and checks at every SIGUSR1.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

Check = Callable[[], None]
_libc = ctypes.CDLL(None, use_errno=True)


class Twin:
    """A forked child that lives on and runs one of ``ways`` when asked; it knows what its parent had at its birth."""

    def __init__(self, *ways: Check) -> None:
        (mine, self._ask), (self._told, answer) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            while word := os.read(mine, 1):
                os.write(answer, _outcome(ways[word[0]]).encode())
            os._exit(0)

    def run(self, which: int = 0) -> None:
        """Have it run one of its ways; fails with its words."""
        os.write(self._ask, bytes([which]))
        answer = os.read(self._told, 4096).decode()
        assert answer == "ok", f"in the child: {answer}"


def _outcome(way: Check) -> str:
    try:
        way()
    except BaseException as wrong:
        return f"{type(wrong).__name__}: {wrong}"[:4000]
    return "ok"


def mount(target: str, flags: int = 0, source: str = "none", kind: bytes | None = None, data: str = "") -> None:
    """mount(2)."""
    if _libc.mount(source.encode(), target.encode(), kind, ctypes.c_ulong(flags), data.encode() or None):
        raise OSError(ctypes.get_errno(), f"mount {target}")


def in_memory(path: str) -> str:
    """A new directory with a tmpfs of its own."""
    os.mkdir(path)
    mount(path, kind=b"tmpfs")
    return path


def in_child(way: Check) -> None:
    """Run ``way`` in a child that is forked for it and gone afterwards."""
    told, answer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(answer, _outcome(way).encode())
        os._exit(0)
    os.waitpid(child, 0)
    said = os.read(told, 4096).decode()
    os.close(told)
    os.close(answer)
    assert said == "ok", f"in a child: {said}"


def raises(number: int, way: Callable[[], object]) -> None:
    """``way`` must fail with that error number."""
    try:
        way()
    except OSError as error:
        assert error.errno == number, f"{error}, not {os.strerror(number)}"
    else:
        raise AssertionError(f"no {os.strerror(number)}")
