"""Locks held through a description: flock(2), record locks of fcntl(2), those of the open description; and leases.

A lock that is given up between dump and restore may be taken by somebody else, and the data it guarded changed: so a
holder is refused unless the user asks for locks to be kept.

Record locks belong to a process and a file, and each holder of a description is shown only its own: all are asked. A
lease that is being broken is taken again and broken again, while nobody is there to be told: its owner has been told.
"""

from __future__ import annotations

import os
from errno import EAGAIN

from replant.abi import fcntl, x86_64
from replant.model.frozen import Frozen
from replant.resources.shared.opening import path_of
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Track
    from replant.resources.protocol import DumpSide, FileFacts

_KINDS = ("FLOCK", "POSIX", "OFDLCK", "LEASE")
_NOBODY = bytes(8)  # struct f_owner_ex


class Lock(Frozen):
    """``kind`` is FLOCK, POSIX, OFDLCK or LEASE as in /proc/locks; ``last`` is the last byte, -1 for the end of file.

    ``pid``: whose record lock it is, or who is to take the lease, else 0. ``left`` of a lease being broken: READ or
    UNLCK, what its holder may keep of it.
    """

    kind: str
    write: bool
    start: int
    last: int
    pid: int = 0
    left: str = ""


def read(f: FileFacts, dump: DumpSide) -> tuple[Lock, ...]:
    """The locks in the ``lock:`` lines of fdinfo. :raises Blocker: unless locks are to be kept."""
    held = _held(f)
    if held and dump.policy("locks") != "keep":
        raise refuse(
            f,
            f"a lock is held on it ({held[0].kind})",
            "ask for locks to be kept if nobody else takes them before the restore: --locks keep",
            "lock",
        )
    return held


def none(f: FileFacts) -> None:
    """:raises Blocker: a lock or lease is held on a file of a kind that has no way to take it again."""
    if held := _held(f):
        raise refuse(f, f"a lock is held on it ({held[0].kind})", "let the program give it up", "lock")


def _held(f: FileFacts) -> tuple[Lock, ...]:
    found = [_parse(f, line) for line in f.lines if line.startswith("lock:") and " POSIX " not in line]
    for pid, lines in {pid: lines for pid, _, lines in f.holders}.items():
        found += [_parse(f, line, pid) for line in lines if line.startswith("lock:") and " POSIX " in line]
    return tuple(found)


def _parse(f: FileFacts, line: str, pid: int = 0) -> Lock:
    words = line.split()[2:]
    kind, state, access, _, _, start, last = words
    if kind not in _KINDS:
        raise refuse(f, f"a {kind.lower()} is held on it", "let the program give it up", "lease")
    if state == "BREAKING":
        return Lock(kind, access == "READ" or _was_for_writing(f), 0, -1, f.pid, access)
    by = f.pid if kind == "LEASE" else pid
    return Lock(kind, access == "WRITE", int(start), -1 if last == "EOF" else int(last), by)


def _was_for_writing(f: FileFacts) -> bool:
    """Of a lease that its holder must give up whole the kernel no longer shows which it was.

    A reader waits for one for writing only, and to ask does no more, as it is being broken already.
    """
    if f.flags & fcntl.O_ACCMODE != fcntl.O_RDONLY:
        return True
    try:
        os.close(os.open(f"/proc/{f.pid}/fd/{f.fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except BlockingIOError:
        return True
    return False


def take(held: Iterable[Lock], fd: int, on: Track) -> None:
    """Calls in a holder that take the locks of the description again, or fail at once if somebody else has them."""
    for lock in held:
        if lock.kind == "FLOCK":
            how = fcntl.LOCK_EX if lock.write else fcntl.LOCK_SH
            on.call(x86_64.flock, fd, how | fcntl.LOCK_NB, why="lock of the whole file")
        elif lock.kind == "OFDLCK":
            on.call(x86_64.fcntl, fd, fcntl.F_OFD_SETLK, _wanted(lock), why="record lock of the description")


def take_last(held: Sequence[Lock], pid: int, fd: int, on: Track) -> None:
    """Calls that take what must wait until the descriptors of the restore are closed.

    A process loses its record locks as soon as it closes any descriptor of the file. A lease for writing is given only
    to who alone has the file open.
    """
    for lock in held:
        if lock.pid != pid:
            continue
        if lock.kind == "POSIX":
            on.call(x86_64.fcntl, fd, fcntl.F_SETLK, _wanted(lock), why="record lock of the process")
        elif lock.kind == "LEASE":
            kind = fcntl.F_WRLCK if lock.write else fcntl.F_RDLCK
            on.call(x86_64.fcntl, fd, fcntl.F_SETLEASE, kind, why="lease")
            if lock.left:
                on.call(x86_64.fcntl, fd, fcntl.F_SETOWN_EX, _NOBODY, why="nobody is to be told of what comes")
                mode = fcntl.O_RDONLY if lock.left == "READ" else fcntl.O_WRONLY
                path = fcntl.cstring(path_of(fd))
                on.call(x86_64.openat, fcntl.AT_FDCWD, path, mode | fcntl.O_NONBLOCK, 0, why="broken", ok=(EAGAIN,))


def _wanted(lock: Lock) -> bytes:
    length = 0 if lock.last < 0 else lock.last - lock.start + 1
    return fcntl.pack_flock(fcntl.F_WRLCK if lock.write else fcntl.F_RDLCK, lock.start, length)
