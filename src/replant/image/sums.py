"""Checksums of an image: xxh3_128 of every 2 MiB of each file.

They find damage, not malice: who can write an image can write its checksums. Hashing runs at some 50 GB/s from the
cache of the CPU, so what costs is to fetch the bytes: a block is read into one buffer that stays in the cache, in
1.1 to 1.3 of the time of reading alone; more threads gain nothing (bench/pages/checksums.py).
"""

from __future__ import annotations

import errno
import os

from replant.abi import x86_64
from replant.abi.libc import syscall
from replant.errors import ImageError
from replant.image import zeros

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BLOCK = 2 << 20
_WORTH_THREAD = 16 << 20
_WORTH_HOLE = 64 << 10
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # of fallocate(2)


def digest(data: bytes | memoryview) -> str:
    """The checksum of some bytes, 32 hexadecimal digits."""
    import xxhash  # many commands need no checksum

    return xxhash.xxh3_128_hexdigest(data)


def quick(data: memoryview) -> int:
    """A number that equal bytes have in common, and others rarely."""
    import xxhash

    return xxhash.xxh3_64_intdigest(data)


def of_bytes(data: bytes) -> tuple[str, ...]:
    """The checksums of each 2 MiB of some bytes."""
    view = memoryview(data)
    return tuple(digest(view[at : at + BLOCK]) for at in range(0, len(view), BLOCK))


def read_block(fd: int, memory: memoryview, number: int, size: int) -> memoryview:
    """Block ``number`` of a file of ``size`` bytes, in memory. :raises OSError: it ends before, or cannot be read."""
    return _filled(fd, memory[: min(BLOCK, size - number * BLOCK)], number * BLOCK)


def read_part(fd: int, at: int, length: int) -> memoryview:
    """``length`` bytes of a file. :raises OSError: it cannot be read, or ends before."""
    return _filled(fd, memoryview(bytearray(length)), at)


def punch_zeros(fd: int, offsets: Sequence[int]) -> None:
    """Make holes of pages of zeros, where it is worth a call. :raises OSError: the storage fails."""
    for start, end in zeros.runs(offsets):
        if end - start >= _WORTH_HOLE:
            punch(fd, start, end - start)


def punch(fd: int, at: int, length: int) -> None:
    """Make a hole of a part of a file. :raises OSError: the storage fails."""
    try:
        syscall(x86_64.fallocate, fd, _PUNCH_HOLE | _KEEP_SIZE, at, length)
    except OSError as e:
        if e.errno != errno.EOPNOTSUPP:  # a file system without holes
            raise


class Early:
    """Checksums of a file that is being written, made in a thread beside that: of what is known to be final."""

    __slots__ = ("_done", "_fd", "_work", "zeros")

    def __init__(self, fd: int) -> None:
        self.zeros: list[int] = []  # offsets of pages of zeros
        self._fd = fd
        self._done: list[str] = []
        self._work: Background | None = None

    def written(self, size: int) -> None:
        """The first ``size`` bytes will not change any more. Returns at once; not every word of it leads to work."""
        if size - len(self._done) * BLOCK >= _WORTH_THREAD and (self._work is None or self._work.ended()):
            self._work = Background(self._go_on, size)

    def of_file(self, size: int) -> tuple[str, ...]:
        """The checksums of each 2 MiB, once all is written. :raises OSError: it ends before, or cannot be read."""
        if self._work is not None:
            self._work.wait()
        start = len(self._done) * BLOCK
        buffer = memoryview(bytearray(min(BLOCK, size - start)))
        return (*self._done, *self._from(buffer, start, size))

    def forget(self) -> None:
        """The file will be written anew."""
        if self._work is not None:
            self._work.join()
        self._done, self.zeros, self._work = [], [], None

    def _go_on(self, size: int) -> None:
        size = min(size, os.fstat(self._fd).st_size)  # the last thing in the file may end within its page
        start, whole = len(self._done) * BLOCK, size - size % BLOCK
        self._done += self._from(memoryview(bytearray(BLOCK)), start, whole)

    def _from(self, buffer: memoryview, start: int, size: int) -> Iterator[str]:
        for at in range(start, size, BLOCK):
            block = _filled(self._fd, buffer[: size - at], at)
            self.zeros += zeros.pages(block, at)
            yield digest(block)


class Background:
    """A call in a thread of its own. The threading module would cost 3 ms to import."""

    __slots__ = ("_done", "_error")

    def __init__(self, work: Callable[..., None], *args: object) -> None:
        import _thread

        self._error: BaseException | None = None
        self._done = _thread.allocate_lock()
        self._done.acquire()
        _thread.start_new_thread(self._run, (work, args))

    def _run(self, work: Callable[..., None], args: Sequence[object]) -> None:
        try:
            work(*args)
        except BaseException as e:
            self._error = e
        finally:
            self._done.release()

    def ended(self) -> bool:
        """Whether it is over."""
        return not self._done.locked()

    def join(self) -> None:
        """Wait for the end."""
        with self._done:
            pass

    def wait(self) -> None:
        """Wait for the end; raises what the call has raised."""
        self.join()
        if self._error is not None:
            raise self._error


def in_threads(works: Sequence[Callable[[], None]]) -> None:
    """Do several works at once; the first exception of any is raised when all have ended."""
    running = [Background(work) for work in works[1:]]
    try:
        works[0]()
    finally:
        for other in running:
            other.join()
    for other in running:
        other.wait()


def compare(name: str, found: Sequence[str], expected: Sequence[str], first: int = 0) -> None:
    """Compare checksums, from block ``first`` on. :raises ImageError: at the first difference, with its place."""
    for number, (a, b) in enumerate(zip(found, expected, strict=True), first):
        if a != b:
            raise ImageError(
                f"{name} is damaged between byte {number * BLOCK} and {(number + 1) * BLOCK}: a checksum does not fit",
                code="image-corrupt",
                resource=name,
                hint="use another copy of the image",
            )


def _filled(fd: int, view: memoryview, at: int) -> memoryview:
    done = 0
    while done < len(view):
        count = os.preadv(fd, [view[done:]], at + done)
        if not count:
            raise OSError(errno.EIO, f"it ends at byte {at + done}")
        done += count
    return view
