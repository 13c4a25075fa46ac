"""Checksums of an image: xxh3_128 of whole small files, and of every 2 MiB of the page store.

They find damage, not malice: whoever can write an image can write its checksums. The hash itself runs at some 50 GB/s
from the CPU's cache; what costs is fetching the bytes, so a block is read into one buffer that stays in the cache.
"""

from __future__ import annotations

import os

from replant.errors import ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BLOCK = 2 << 20
_WORTH_A_THREAD = 64 << 20


def digest(data: bytes | memoryview) -> str:
    """The checksum of some bytes, 32 hexadecimal digits."""
    import xxhash  # 0.6 ms: not on the way to the freeze

    return xxhash.xxh3_128_hexdigest(data)


def of_bytes(data: bytes) -> tuple[str, ...]:
    """The checksums of each 2 MiB of some bytes."""
    view = memoryview(data)
    return tuple(digest(view[at : at + BLOCK]) for at in range(0, len(view), BLOCK))


def of_file(fd: int, size: int) -> tuple[str, ...]:
    """The checksums of each 2 MiB of a file. :raises OSError: :raises EOFError: it ends before ``size``."""
    sums = [""] * -(-size // BLOCK)

    def work(first: int, step: int) -> None:
        buffer = memoryview(bytearray(min(BLOCK, size)))
        for number in range(first, len(sums), step):
            sums[number] = digest(_filled(fd, buffer[: min(BLOCK, size - number * BLOCK)], number * BLOCK))

    in_threads(work, size)
    return tuple(sums)


def in_threads(work: Callable[[int, int], None], size: int) -> None:
    """Run ``work(i, n)`` for i < n, in n threads where ``size`` bytes are worth it; an exception is passed on."""
    count = min(4, len(os.sched_getaffinity(0))) if size >= _WORTH_A_THREAD else 1
    handles = [Background(work, i, count) for i in range(1, count)]
    try:
        work(0, count)
    finally:
        for handle in handles:
            handle.join()
    for handle in handles:
        handle.wait()


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

    def join(self) -> None:
        """Wait for the end."""
        with self._done:
            pass

    def wait(self) -> None:
        """Wait for the end; raises what the call has raised."""
        self.join()
        if self._error is not None:
            raise self._error


def compare(name: str, found: Sequence[str], expected: Sequence[str]) -> None:
    """Compare checksums. :raises ImageError: at the first difference, with its place."""
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
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
            raise EOFError(f"the file ends at byte {at + done}")
        done += count
    return view
