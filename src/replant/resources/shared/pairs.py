"""Pairs of descriptors that one call makes: pipe2(2), socketpair(2).

The kernel writes their numbers to memory, where no later call of a track can look. But it always takes the lowest free
numbers: with standard input and output put aside they are 0 and 1.
"""

from __future__ import annotations

from replant.abi import fcntl, x86_64
from replant.abi.call import Out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.abi.call import Slot, Track

_EBADF = 9


def pipe(on: Track) -> tuple[Slot, Slot]:
    """A new pipe: its read end and its write end."""
    kept = _aside(on)
    on.call(x86_64.pipe2, Out(8), 0, why="pipe, its ends are 0 and 1")
    return _back(on, kept)


def socketpair(on: Track, family: int, kind: int) -> tuple[Slot, Slot]:
    """Two new sockets connected to each other."""
    kept = _aside(on)
    on.call(x86_64.socketpair, family, kind, 0, Out(8), why="pair of sockets, 0 and 1")
    return _back(on, kept)


def _aside(on: Track) -> list[Slot]:
    kept = [on.call(x86_64.fcntl, fd, fcntl.F_DUPFD_CLOEXEC, 3, why="put aside", ok=(_EBADF,)) for fd in (0, 1)]
    on.call(x86_64.close, 0, ok=(_EBADF,))
    on.call(x86_64.close, 1, ok=(_EBADF,))
    return kept


def _back(on: Track, kept: list[Slot]) -> tuple[Slot, Slot]:
    first = on.call(x86_64.fcntl, 0, fcntl.F_DUPFD_CLOEXEC, 3, why="first of the pair")
    second = on.call(x86_64.fcntl, 1, fcntl.F_DUPFD_CLOEXEC, 3, why="second of the pair")
    for fd, slot in enumerate(kept):
        on.call(x86_64.close, fd)
        on.call(x86_64.dup3, slot, fd, 0, why="as it was", ok=(_EBADF,))
        on.call(x86_64.close, slot, ok=(_EBADF,))
    return first, second
