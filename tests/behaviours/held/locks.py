"""Locks and leases."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
from collections.abc import Callable

from held import Check, Twin, in_child, raises

OFD_GETLK, OFD_SETLK = 36, 37
SETLEASE, GETLEASE, SETSIG, GETSIG = 1024, 1025, 10, 11
GETOWNER_UIDS = 17


def _create(name: str, mode: int = os.O_RDWR) -> int:
    os.close(os.open(name, os.O_CREAT, 0o666))
    return os.open(name, mode)


def _flock(kind: int, start: int, length: int, pid: int = 0) -> bytes:
    return struct.pack("=hh4xqqi4x", kind, os.SEEK_SET, start, length, pid)


def _held(fd: int, at: int, how: int = 5) -> tuple[int, int, int, int] | None:
    """The lock in the way of locking one byte: kind, start, length, owner (F_GETLK, F_OFD_GETLK)."""
    answer = fcntl.fcntl(fd, how, _flock(fcntl.F_WRLCK, at, 1))
    kind, _, start, length, pid = struct.unpack("=hh4xqqi4x", answer)
    return None if kind == fcntl.F_UNLCK else (kind, start, length, pid)


def _seen(name: str, at: int) -> tuple[int, int, int, int] | None:
    """The same, for somebody with an open of his own, who holds none."""
    fd = os.open(name, os.O_RDWR)
    try:
        return _held(fd, at, OFD_GETLK)
    finally:
        os.close(fd)


def _expect(name: str, wanted: dict[int, tuple[int, int, int, int] | None]) -> None:
    def look() -> None:
        found = {at: _seen(name, at) for at in wanted}
        assert found == wanted, f"{found}, not {wanted}"

    in_child(look)  # whoever closes a file gives up his record locks


def record() -> Check:
    """Locks of the process on stretches of a file, for reading and writing."""
    fd = _create("record")
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 5)
    fcntl.lockf(fd, fcntl.LOCK_SH, 10, 20)
    fcntl.lockf(fd, fcntl.LOCK_EX, 0, 100)
    me = os.getpid()
    w, r = fcntl.F_WRLCK, fcntl.F_RDLCK
    wanted = {0: None, 5: (w, 5, 10, me), 20: (r, 20, 10, me), 50: None, 1 << 40: (w, 100, 0, me)}
    return lambda: _expect("record", wanted)


def record_in_two_processes() -> Check:
    """Two processes share an open file, and each has locks of its own on it; also by a copied descriptor."""
    fd = _create("two")

    def lock() -> None:
        fcntl.lockf(fd, fcntl.LOCK_EX, 5, 10)

    twin = Twin(lock)
    twin.run()
    copy = os.dup(fd)
    fcntl.lockf(copy, fcntl.LOCK_EX, 5, 0)
    w = fcntl.F_WRLCK
    return lambda: _expect("two", {0: (w, 0, 5, os.getpid()), 7: None, 10: (w, 10, 5, twin.pid)})


def record_of_the_second() -> Check:
    """Only a child locks what its parent has open as well."""
    fd = _create("second")
    twin = Twin(lambda: fcntl.lockf(fd, fcntl.LOCK_SH, 3, 0))
    twin.run()
    return lambda: _expect("second", {0: (fcntl.F_RDLCK, 0, 3, twin.pid), 4: None})


def of_the_description() -> Check:
    """Whole-file and overlapping locks of open files, inherited by fork, one of them by a child alone."""
    a, b = _create("ofd"), _create("ofd")
    fcntl.fcntl(a, OFD_SETLK, _flock(fcntl.F_RDLCK, 0, 0))
    fcntl.fcntl(b, OFD_SETLK, _flock(fcntl.F_RDLCK, 5, 10))
    c = _create("whole")
    fcntl.fcntl(c, OFD_SETLK, _flock(fcntl.F_WRLCK, 0, 0))
    heir = Twin(lambda: fcntl.fcntl(c, OFD_SETLK, _flock(fcntl.F_WRLCK, 0, 0)))
    os.close(c)

    def check() -> None:
        assert _held(a, 7, OFD_GETLK) == (fcntl.F_RDLCK, 5, 10, -1)
        assert _held(b, 0, OFD_GETLK) == (fcntl.F_RDLCK, 0, 0, -1)
        assert _seen("whole", 3) == (fcntl.F_WRLCK, 0, 0, -1)
        heir.run()

    return check


def whole_file() -> Check:
    """flock(2): shared by two, exclusive, held through fork, and one of two opens only."""
    shared = [_create("shared-flock"), _create("shared-flock")]
    for fd in shared:
        fcntl.flock(fd, fcntl.LOCK_SH)
    sole, other = _create("sole"), _create("sole")
    fcntl.flock(sole, fcntl.LOCK_EX)
    orphan = _create("orphan")
    fcntl.flock(orphan, fcntl.LOCK_EX)
    heir = Twin(lambda: fcntl.flock(orphan, fcntl.LOCK_EX | fcntl.LOCK_NB))
    os.close(orphan)
    mixed = _create("mixed", os.O_RDONLY)  # an exclusive lock needs no right to write
    fcntl.flock(mixed, fcntl.LOCK_EX)

    def check() -> None:
        for name, how in (("shared-flock", fcntl.LOCK_EX), ("sole", fcntl.LOCK_SH), ("orphan", fcntl.LOCK_SH)):
            _refused(name, how)
        _refused("mixed", fcntl.LOCK_SH)
        raises(errno.EAGAIN, lambda: fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB))
        fcntl.flock(shared[0], fcntl.LOCK_SH | fcntl.LOCK_NB)
        heir.run()

    return check


def _refused(name: str, how: int) -> None:
    fd = os.open(name, os.O_RDONLY)
    raises(errno.EAGAIN, lambda: fcntl.flock(fd, how | fcntl.LOCK_NB))
    os.close(fd)


def all_kinds_on_one() -> Check:
    """The three kinds do not hinder each other, nor a file without a name."""
    fd = _create("all")
    os.unlink("all")
    fcntl.flock(fd, fcntl.LOCK_EX)
    fcntl.lockf(fd, fcntl.LOCK_EX, 5, 0)
    fcntl.fcntl(fd, OFD_SETLK, _flock(fcntl.F_WRLCK, 10, 5))

    def check() -> None:
        def look() -> None:
            other = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
            assert _held(other, 0, OFD_GETLK) == (fcntl.F_WRLCK, 0, 5, os.getppid())
            assert _held(other, 10, OFD_GETLK) == (fcntl.F_WRLCK, 10, 5, -1)
            raises(errno.EAGAIN, lambda: fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB))

        in_child(look)

    return check


def a_lock() -> Check:
    fd = _create("one-lock")
    fcntl.flock(fd, fcntl.LOCK_EX)
    return lambda: _refused("one-lock", fcntl.LOCK_SH)


def _lease(name: str, kind: int, wanted: int = 0, mode: int | None = None) -> int:
    fd = _create(name, (os.O_RDWR if kind == fcntl.F_WRLCK else os.O_RDONLY) if mode is None else mode)
    _take(fd, kind, wanted)
    return fd


def _take(fd: int, kind: int, wanted: int, owner: int = 0) -> None:
    """Take a lease, giving up the one there is, which forgets owner and signal too."""
    if _is_leased(fd):
        fcntl.fcntl(fd, SETLEASE, fcntl.F_UNLCK)
    fcntl.fcntl(fd, SETSIG, wanted)
    if owner:
        fcntl.fcntl(fd, fcntl.F_SETOWN, owner)
    fcntl.fcntl(fd, SETLEASE, kind)


def _is_leased(fd: int) -> bool:
    with open(f"/proc/self/fdinfo/{fd}") as lines:
        return " LEASE " in lines.read()


def _break(name: str, mode: int) -> Callable[[], None]:
    """Open it without waiting, which begins to break the lease."""
    return lambda: raises(errno.EAGAIN, lambda: os.open(name, mode | os.O_NONBLOCK))


def leases() -> Check:
    """Of both kinds, on several descriptors; breaking one sends the chosen signal to its owner with the descriptor."""
    wanted = signal.SIGRTMIN + 3
    signal.pthread_sigmask(signal.SIG_BLOCK, [wanted])
    write, reads = _lease("lease-w", fcntl.F_WRLCK, wanted), [_lease("lease-r", fcntl.F_RDLCK) for _ in range(2)]
    none = _create("lease-none", os.O_RDONLY)

    def check() -> None:
        kinds = [fcntl.fcntl(fd, GETLEASE) for fd in (write, *reads, none)]
        assert kinds == [fcntl.F_WRLCK, fcntl.F_RDLCK, fcntl.F_RDLCK, fcntl.F_UNLCK], f"{kinds}"
        assert signal.sigtimedwait([wanted, signal.SIGIO], 0) is None, "broken by the restore"
        in_child(_break("lease-w", os.O_RDONLY))
        info = signal.sigtimedwait([wanted], 5)
        assert info is not None, "no signal"
        _take(write, fcntl.F_WRLCK, wanted)

    return check


def broken_leases() -> Check:
    """Being broken: to nothing or to one for reading; the holder has been told, and is not told again."""
    wanted = signal.SIGRTMIN + 4
    signal.pthread_sigmask(signal.SIG_BLOCK, [wanted])
    ways = [
        ("broken-w", fcntl.F_WRLCK, os.O_RDWR, os.O_WRONLY, fcntl.F_UNLCK),
        ("broken-d", fcntl.F_WRLCK, os.O_RDWR, os.O_RDONLY, fcntl.F_RDLCK),
        ("broken-r", fcntl.F_RDLCK, os.O_RDONLY, os.O_WRONLY, fcntl.F_UNLCK),
        ("broken-o", fcntl.F_WRLCK, os.O_RDONLY, os.O_WRONLY, fcntl.F_UNLCK),
    ]
    held = []
    for name, kind, mode, breaking, left in ways:
        fd = _lease(name, kind, wanted, mode)
        in_child(_break(name, breaking))
        assert signal.sigtimedwait([wanted], 5) is not None
        held.append((fd, name, breaking, left))

    def check() -> None:
        assert signal.sigtimedwait([wanted, signal.SIGIO], 0) is None, "told again"
        for fd, name, breaking, left in held:
            now = fcntl.fcntl(fd, GETLEASE)
            assert now == left, f"{name}: {now}, not {left}"
            in_child(_break(name, breaking))

    return check


def lease_of_a_child() -> Check:
    """Whoever took it has closed his own; a child that inherited it still holds it, and he is told when it breaks."""
    wanted = signal.SIGRTMIN + 7
    signal.pthread_sigmask(signal.SIG_BLOCK, [wanted])
    fd = _lease("inherited", fcntl.F_RDLCK, wanted)

    def still() -> None:
        assert fcntl.fcntl(fd, GETLEASE) == fcntl.F_RDLCK

    parent = os.getpid()
    twin = Twin(still, lambda: _take(fd, fcntl.F_RDLCK, wanted, parent))
    os.close(fd)

    def check() -> None:
        twin.run(0)
        in_child(_break("inherited", os.O_WRONLY))
        assert signal.sigtimedwait([wanted], 5) is not None, "no signal"
        twin.run(1)

    return check
