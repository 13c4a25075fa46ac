"""Pages of a stopped process into the page store.

As built::

    copy(pid, scan, store, ask=None, fd=-1) -> bytes        # `Mm.runs`: packed <QQQ, address, length, offset

There are two ways out of a process. From outside, process_vm_readv(2) and pwrite(2) copy everything twice, but need
nothing of the process. From inside, the process writes its pages itself, to ``fd``, the store as a descriptor of its
own; ``ask`` runs calls in it. That is the faster one from `WORTH_INSIDE` bytes on. It is not for a process with a file
size limit (it would get SIGXFSZ) or with a seccomp filter that forbids pwrite64. Ratios: bench/pages/copying.py.
"""

from __future__ import annotations

import errno
import os
from array import array
from itertools import accumulate

from replant.abi import x86_64
from replant.abi.call import Call
from replant.abi.libc import address, syscall_raw
from replant.errors import ReplantError, TaskGone
from replant.model.invariants import GUARD
from replant.pages.fill import check_filled, fill_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from replant.abi.call import Answer
    from replant.pages.scan import Scan
    from replant.pages.store import PageWriter

    Ask = Callable[[Sequence[Call]], Sequence[Answer]]

__all__ = ["check_filled", "copy", "fill_calls"]
WORTH_INSIDE = 4 << 20
WORTH_THREADS = 32 << 20
_THREADS = 4
_BUFFER = 1 << 20  # at most 256 runs, fewer than the 1024 iovecs (IOV_MAX) that one call takes
_PIECE = 16 << 20  # a call ends soon after we do
_BATCH = 512
# answers after which a run is copied from outside, which finds out what is wrong
_PASS = (errno.EFAULT, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EINTR, errno.EAGAIN, errno.EBADF)


def copy(pid: int, scan: Scan, store: PageWriter, ask: Ask | None = None, fd: int = -1) -> bytes:
    """Copy the pages that a scan found into the store; the index of where they are.

    :raises TaskGone: the process ended. :raises ReplantError: it cannot be read, or the storage does not take it.
    """
    runs, total = scan.runs, scan.bytes
    places = array("Q", accumulate(runs[1::2], initial=store.reserve(total)))
    places.pop()
    rows = array("Q", bytes(12 * len(runs)))
    rows[0::3], rows[1::3], rows[2::3] = runs[0::2], runs[1::2], places
    if ask is not None and total >= WORTH_INSIDE:
        _outside(pid, _inside(rows, ask, fd), store)
    else:
        _outside(pid, rows, store)
    return _with_others(rows, scan).tobytes()


def _with_others(rows: array[int], scan: Scan) -> array[int]:
    """All rows of an address space: those copied now, those that an earlier dump has, guard pages."""
    if not scan.guards and not scan.kept:
        return rows
    triples = [(start, length, GUARD) for start, length in zip(scan.guards[0::2], scan.guards[1::2], strict=True)]
    for part in (rows, scan.kept):
        triples += zip(part[0::3], part[1::3], part[2::3], strict=True)
    return array("Q", [n for row in sorted(triples) for n in row])


def _inside(rows: array[int], ask: Ask, fd: int) -> array[int]:
    """Have the process write its pages itself; the rows that it did not write, or not all of."""
    pieces = array("Q", [n for row in _split(rows, _PIECE) for n in row])
    left = array("Q")
    for first in range(0, len(pieces), 3 * _BATCH):
        batch = pieces[first : first + 3 * _BATCH]
        triples = [*zip(batch[0::3], batch[1::3], batch[2::3], strict=True)]
        calls = [Call(x86_64.pwrite64, fd, start, n, at, why="save pages", ok=_PASS) for start, n, at in triples]
        for triple, answer in zip(triples, ask(calls), strict=True):
            if answer.ret != triple[1]:
                left.extend(triple)
    return left


def _outside(pid: int, rows: array[int], store: PageWriter) -> None:
    """Copy pages through buffers of ours, as many runs in one go as fit, in threads where there is much."""
    if not rows:
        return
    total = sum(rows[1::3])
    size = min(_BUFFER, total)
    portions = _Shared(_chunks(rows, size))
    if total < WORTH_THREADS:
        _portions(pid, portions, size, store)
    else:
        _abreast(lambda: _portions(pid, portions, size, store), min(_THREADS, len(os.sched_getaffinity(0))))


def _portions(pid: int, portions: Iterable[tuple[array[int], int]], size: int, store: PageWriter) -> None:
    buffer = bytearray(size)
    view = memoryview(buffer)
    for remote, at in portions:
        length = sum(remote[1::2])
        ours = array("Q", (address(buffer), length))
        done = syscall_raw(
            x86_64.process_vm_readv, pid, ours.buffer_info()[0], 1, remote.buffer_info()[0], len(remote) // 2, 0
        )
        if done == -errno.ESRCH:
            raise TaskGone(pid, "its memory was copied")
        if done != length:
            _by_file(pid, remote, view)
        store.put(view[:length], at)


class _Shared:
    """An iterator that several threads take from."""

    def __init__(self, items: Iterator[tuple[array[int], int]]) -> None:
        from _thread import allocate_lock

        self._items = items
        self._lock = allocate_lock()

    def __iter__(self) -> _Shared:
        return self

    def __next__(self) -> tuple[array[int], int]:
        with self._lock:
            return next(self._items)


def _abreast(work: Callable[[], None], count: int) -> None:
    """Do ``work`` in so many threads at a time; the first exception of any is raised once all have ended."""
    from threading import Thread  # 3 ms, which is little beside what is worth threads

    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as e:
            errors.append(e)

    threads = [Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _chunks(rows: array[int], size: int) -> Iterator[tuple[array[int], int]]:
    """Runs in portions of up to ``size`` bytes that are contiguous in the store: an array of iovecs, and the offset."""
    remote, first, filled = array("Q"), 0, 0
    for start, length, at in _split(rows, size):
        if filled and (filled + length > size or at != first + filled):
            yield remote, first
            remote, filled = array("Q"), 0
        if not filled:
            first = at
        remote.extend((start, length))
        filled += length
    yield remote, first


def _split(rows: array[int], size: int) -> Iterator[tuple[int, int, int]]:
    for start, length, at in zip(rows[0::3], rows[1::3], rows[2::3], strict=True):
        if length <= size:
            yield start, length, at
            continue
        for done in range(0, length, size):
            yield start + done, min(size, length - done), at + done


def _by_file(pid: int, remote: array[int], view: memoryview) -> None:
    """/proc/PID/mem reads what process_vm_readv may not: mappings without PROT_READ (proc_pid_mem(5))."""
    try:
        fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise TaskGone(pid, "its memory was copied") from None
    try:
        filled = 0
        for start, length in zip(remote[0::2], remote[1::2], strict=True):
            _read_all(pid, fd, start, view[filled : filled + length])
            filled += length
    finally:
        os.close(fd)


def _read_all(pid: int, fd: int, start: int, view: memoryview) -> None:
    done = 0
    while done < len(view):
        try:
            count = os.preadv(fd, [view[done:]], start + done)
        except OSError as e:
            raise ReplantError(
                f"memory of {pid} at {start + done:x} cannot be read: {e.strerror}",
                code="memory-unreadable",
                pid=pid,
                resource=f"{start + done:x}",
                hint="the page is poisoned, a guard page, or belongs to a device",
            ) from e
        if not count:
            raise TaskGone(pid, "its memory was copied")
        done += count
