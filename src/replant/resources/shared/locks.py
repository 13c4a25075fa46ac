"""Locks held through a description: flock(2), record locks of fcntl(2), those of the open description; not leases.

A lock that is given up between dump and restore may be taken by somebody else, and the data it guarded changed: so a
holder is refused unless the user asks for locks to be kept.
"""

from __future__ import annotations

from replant.abi import fcntl, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from replant.abi.call import Track
    from replant.resources.protocol import DumpSide, FileFacts


class Lock(Frozen):
    """``kind`` is FLOCK, POSIX or OFDLCK as in /proc/locks; ``last`` is the last byte, -1 for the end of file."""

    kind: str
    write: bool
    start: int
    last: int


def read(f: FileFacts, dump: DumpSide) -> tuple[Lock, ...]:
    """The locks in the ``lock:`` lines of fdinfo. :raises Blocker: for leases, and unless locks are to be kept."""
    held = tuple([_parse(f, line) for line in f.lines if line.startswith("lock:")])
    if held and dump.policy("locks") != "keep":
        raise refuse(
            f,
            f"a lock is held on it ({held[0].kind})",
            "ask for locks to be kept if nobody else takes them before the restore",
            "lock",
        )
    return held


def none(f: FileFacts) -> None:
    """:raises Blocker: a lock or lease is held on a file of a kind that has no way to take it again."""
    for line in f.lines:
        if line.startswith("lock:"):
            raise refuse(f, f"a lock is held on it ({line.split()[2]})", "let the program give it up", "lock")


def _parse(f: FileFacts, line: str) -> Lock:
    words = line.split()[2:]
    kind, _, access, _, _, start, last = words
    if kind not in ("FLOCK", "POSIX", "OFDLCK"):
        raise refuse(f, f"a {kind.lower()} is held on it", "let the program give it up", "lease")
    return Lock(kind, access == "WRITE", int(start), -1 if last == "EOF" else int(last))


def take(held: Iterable[Lock], fd: int, on: Track) -> None:
    """Calls in a holder that take the locks of the description again, or fail at once if somebody else has them."""
    for lock in held:
        if lock.kind == "FLOCK":
            how = fcntl.LOCK_EX if lock.write else fcntl.LOCK_SH
            on.call(x86_64.flock, fd, how | fcntl.LOCK_NB, why="lock of the whole file")
        elif lock.kind == "OFDLCK":
            on.call(x86_64.fcntl, fd, fcntl.F_OFD_SETLK, _wanted(lock), why="record lock of the description")


def take_of_process(held: Iterable[Lock], fd: int, on: Track) -> None:
    """Calls that take the record locks of the process, when the descriptors of the restore are closed.

    A process loses them as soon as it closes any descriptor of the file.
    """
    for lock in held:
        if lock.kind == "POSIX":
            on.call(x86_64.fcntl, fd, fcntl.F_SETLK, _wanted(lock), why="record lock of the process")


def _wanted(lock: Lock) -> bytes:
    length = 0 if lock.last < 0 else lock.last - lock.start + 1
    return fcntl.pack_flock(fcntl.F_WRLCK if lock.write else fcntl.F_RDLCK, lock.start, length)
