"""What stands in a pipe or FIFO, read without taking it out; and which of its ends exist at all."""

from __future__ import annotations

import os

from replant.abi import fcntl, poll, x86_64
from replant.abi.libc import syscall, syscall_raw
from replant.model.frozen import Frozen
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import FileFacts

_EBUSY, _EINVAL = 16, 22
_DEFAULT_SIZE = 65536
_FIONREAD = 0x541B
_IOC_WATCH_QUEUE_SET_SIZE = 0x5760


class Chunk(Frozen):
    """Bytes that stand together; ``packet``: written as one (pipe(2), O_DIRECT), and read as one or cut off."""

    data: bytes
    packet: bool


def reads(flags: int) -> bool:
    """Whether an end with these flags can be read from."""
    return flags & fcntl.O_ACCMODE != fcntl.O_WRONLY


def writes(flags: int) -> bool:
    """Whether an end with these flags can be written to."""
    return flags & fcntl.O_ACCMODE != fcntl.O_RDONLY


def capacity(fd: int) -> int:
    """Bytes that fit (fcntl(2) F_GETPIPE_SZ)."""
    return syscall(x86_64.fcntl, fd, fcntl.F_GETPIPE_SZ)


def no_notifications(f: FileFacts) -> None:
    """:raises Blocker: the kernel writes into it what happens to keys (O_NOTIFICATION_PIPE), and who asked for it."""
    if syscall_raw(x86_64.ioctl, f.grab(), _IOC_WATCH_QUEUE_SET_SIZE, 0) in (-_EBUSY, -_EINVAL):
        raise refuse(f, "it is a notification pipe, whose watches cannot be read", "close it before the dump")


def peek(f: FileFacts, size: int) -> tuple[Chunk, ...]:
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


def _copy(f: FileFacts, fd: int, size: int) -> tuple[Chunk, ...]:
    """A look at the bytes, and one at what is a packet: whoever reads a byte less of one loses that byte."""
    first, second = _Copy(f, fd, size), _Copy(f, fd, size)
    try:
        chunks = first.chunks()
        return tuple([Chunk(data, second.is_packet(data, data is chunks[-1])) for data in chunks])
    finally:
        first.close()
        second.close()


class _Copy:
    """A pipe of our own, with all that is queued in another one of ``size`` bytes."""

    def __init__(self, f: FileFacts, fd: int, size: int) -> None:
        self._f = f
        self._source, self._sink = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if size > _DEFAULT_SIZE and syscall_raw(x86_64.fcntl, self._sink, fcntl.F_SETPIPE_SZ, size) < 0:
                raise refuse(f, f"its {size} bytes of room are more than this user may have", "raise fs.pipe-max-size")
            syscall(x86_64.tee, fd, self._sink, size, fcntl.SPLICE_F_NONBLOCK)
        except BaseException:
            self.close()
            raise

    def chunks(self) -> list[bytes]:
        """What one read(2) after the other gives; a packet ends it, and so does the end."""
        found = []
        while left := _queued(self._source):
            found.append(os.read(self._source, left))
        return found

    def is_packet(self, data: bytes, last: bool) -> bool:
        """Whether the next chunk, which is ``data``, is a packet; it is taken out.

        :raises Blocker: it is one behind bytes that are none.
        """
        before, size = _queued(self._source), len(data)
        if size == 1:
            return self._is_short_packet(last)
        os.read(self._source, 1)
        if before - _queued(self._source) == size:
            return True
        os.read(self._source, size - 2)
        left = size - (before - _queued(self._source))
        if not (last and left):
            raise refuse(self._f, "packets stand behind bytes that are none", "let the program read them")
        os.read(self._source, left)
        return False

    def _is_short_packet(self, last: bool) -> bool:
        """A byte in front of others, that are none, is read together with them."""
        if last:
            os.write(self._sink, b"x")
        return len(os.read(self._source, 2)) == 1

    def close(self) -> None:
        """Both ends."""
        os.close(self._source)
        os.close(self._sink)


def _queued(fd: int) -> int:
    waiting = bytearray(4)
    syscall(x86_64.ioctl, fd, _FIONREAD, waiting)
    return int.from_bytes(waiting, "little")


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


def give_back(on: Track, writer: Slot | int, chunks: Sequence[Chunk]) -> None:
    """Write what was queued. ``writer`` is left without O_NONBLOCK and O_DIRECT."""
    for chunk in chunks:
        mode = fcntl.O_NONBLOCK | (fcntl.O_DIRECT if chunk.packet else 0)
        on.call(x86_64.fcntl, writer, fcntl.F_SETFL, mode, why="a write that does not fit shall fail")
        on.call(x86_64.write, writer, chunk.data, len(chunk.data), why="queued data", gives=len(chunk.data))
    if chunks:
        on.call(x86_64.fcntl, writer, fcntl.F_SETFL, 0)


def one_sided(files: Iterable[File], other: bool) -> bool:
    """Whether the tree has only one side of a pipe whose other side exists."""
    sides = [(reads(file.flags), writes(file.flags)) for file in files]
    return other and not (any(r for r, _ in sides) and any(w for _, w in sides))
