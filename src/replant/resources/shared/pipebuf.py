"""What stands in a pipe or FIFO, read without taking it out; and which of its ends exist at all."""

from __future__ import annotations

import os

from replant.abi import fcntl, poll, x86_64
from replant.abi.libc import syscall, syscall_raw
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import FileFacts

_EAGAIN = 11
_DEFAULT_SIZE = 65536
_FIONREAD = 0x541B


def reads(flags: int) -> bool:
    """Whether an end with these flags can be read from."""
    return flags & fcntl.O_ACCMODE != fcntl.O_WRONLY


def writes(flags: int) -> bool:
    """Whether an end with these flags can be written to."""
    return flags & fcntl.O_ACCMODE != fcntl.O_RDONLY


def capacity(fd: int) -> int:
    """Bytes that fit (fcntl(2) F_GETPIPE_SZ)."""
    return syscall(x86_64.fcntl, fd, fcntl.F_GETPIPE_SZ)


def peek(f: FileFacts, size: int) -> tuple[bytes, ...]:
    """All that is queued, by tee(2) into a pipe of our own of the same ``size``; packets stay separate.

    A write end looks through a read end of its own, which is gone before the tree runs on.
    """
    fd = f.grab()
    waiting = bytearray(4)
    syscall(x86_64.ioctl, fd, _FIONREAD, waiting)
    if not any(waiting):
        return ()
    if reads(f.flags):
        return _copy(f, fd, size)
    source = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return _copy(f, source, size)
    finally:
        os.close(source)


def _copy(f: FileFacts, fd: int, size: int) -> tuple[bytes, ...]:
    source, sink = os.pipe()
    try:
        if size > _DEFAULT_SIZE and syscall_raw(x86_64.fcntl, sink, fcntl.F_SETPIPE_SZ, size) < 0:
            raise refuse(f, f"its {size} bytes of room are more than this user may have", "raise fs.pipe-max-size")
        syscall(x86_64.tee, fd, sink, size, fcntl.SPLICE_F_NONBLOCK)
        os.close(sink)
        sink = -1
        return tuple(iter(lambda: os.read(source, size), b""))
    finally:
        os.close(source)
        if sink >= 0:
            os.close(sink)


def other_end(f: FileFacts) -> bool:
    """Whether anybody anywhere has the end that ``f`` is not: POLLHUP means no writer, POLLERR no reader.

    A FIFO opened for reading before there was a writer does not say POLLHUP; if it is empty, tee(2) tells.
    """
    if reads(f.flags) and writes(f.flags):
        return True
    fd = f.grab()
    if not reads(f.flags):
        return not poll.poll_now(fd) & poll.POLLERR
    if poll.poll_now(fd) & poll.POLLHUP:
        return False
    source, sink = os.pipe()
    try:
        found = syscall_raw(x86_64.tee, fd, sink, 1, fcntl.SPLICE_F_NONBLOCK)
    finally:
        os.close(source)
        os.close(sink)
    return found != 0


def give_back(on: Track, writer: Slot | int, chunks: Iterable[bytes], packets: bool) -> None:
    """Write what was queued; each chunk becomes a packet where the pipe has packets.

    ``writer`` is left without O_NONBLOCK and O_DIRECT.
    """
    mode = fcntl.O_NONBLOCK | (fcntl.O_DIRECT if packets else 0)
    on.call(x86_64.fcntl, writer, fcntl.F_SETFL, mode, why="a write that does not fit shall fail")
    for chunk in chunks:
        on.call(x86_64.write, writer, chunk, len(chunk), why="queued data")
    on.call(x86_64.fcntl, writer, fcntl.F_SETFL, 0)


def packets(files: Iterable[File]) -> bool:
    """Whether what is written now becomes packets (pipe(2), O_DIRECT)."""
    return any(writes(file.flags) and file.flags & fcntl.O_DIRECT for file in files)


def one_sided(files: Iterable[File], other: bool) -> bool:
    """Whether the tree has only one side of a pipe whose other side exists."""
    sides = [(reads(file.flags), writes(file.flags)) for file in files]
    return other and not (any(r for r, _ in sides) and any(w for _, w in sides))
