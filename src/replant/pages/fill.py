"""Saved pages back into a process that is being made: the calls that it runs itself.

As built::

    fill_calls(runs, stores, vmas=(), huge=False) -> list[Call]     # ``runs`` of `Mm`; the page stores in there
    check_filled(calls, answers) -> None                        # raises unless every byte was read

The mappings must stand, writable. Runs that follow each other in the store are read by one preadv(2).
A page is filled by reading, which allocates it, and the allocation is what costs.
Where ``vmas`` are given, anonymous memory is therefore allocated first, in one call a run: MADV_POPULATE_WRITE, 0.7 to
0.9 of the time of pread alone. What the process itself wanted to be huge pages is advised so before, and becomes huge.

``huge`` makes huge pages of everything that fills blocks of 2 MiB (MADV_COLLAPSE). With memory that the host has at
hand that takes 0.2 to 0.4 of the time; in a virtual machine that gives free memory back to its host in large blocks it
takes up to 4 times as long, which is why it is a choice. Ratios: bench/pages/filling.py.
"""

from __future__ import annotations

import errno
from struct import iter_unpack, pack

from replant.abi import mman, x86_64
from replant.abi.call import Call
from replant.errors import ImageError
from replant.model.invariants import GUARD, PAGE
from replant.model.places import split
from replant.pages.store import RW_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.abi.call import Answer, Slot
    from replant.model.tree import Vma

HUGE = 2 << 20
WORTH_POPULATING = 256 << 10
_MADV_GUARD_INSTALL = 102
_MOST = 2 * 1024  # addresses and lengths of UIO_MAXIOV parts
_READS = (x86_64.pread64, x86_64.preadv)
# no memory for it, no huge page wanted, or an older kernel: the pages are filled one by one
_MAY_FAIL = (errno.EAGAIN, errno.ENOMEM, errno.EINVAL, errno.EBUSY, errno.EFAULT)


def fill_calls(runs: bytes, stores: Sequence[Slot | int], vmas: Sequence[Vma] = (), huge: bool = False) -> list[Call]:
    """Calls that fill the pages of an address space from ``stores``, descriptors in the process by the numbers of
    `replant.model.places`; ``vmas`` in order of address.
    """
    calls: list[Call] = []
    reads = _Reads(calls)
    around = iter(vmas)
    vma = next(around, None)
    huge = huge and huge_pages_allowed()
    for start, length, place in iter_unpack("<QQQ", runs):
        if place == GUARD:
            calls.append(Call(x86_64.madvise, start, length, _MADV_GUARD_INSTALL, why="guard pages"))
            continue
        store, at = split(place)
        fd = stores[store]
        if length >= WORTH_POPULATING:
            while vma is not None and vma.end <= start:
                vma = next(around, None)
            if vma is not None and vma.file < 0:
                calls += _allocate(vma, start, length, at, fd, huge)
        for done in range(0, length, RW_MAX):
            reads.add(fd, start + done, min(RW_MAX, length - done), at + done)
    reads.flush()
    return calls


class _Reads:
    """Reads that wait to be one call: of one store, where the next begins where the last ends."""

    def __init__(self, calls: list[Call]) -> None:
        self._calls = calls
        self._fd: Slot | int = -1
        self._at = self._total = 0
        self._parts: list[int] = []  # address, length, address, length, …

    def add(self, fd: Slot | int, start: int, length: int, at: int) -> None:
        total = self._total + length
        if fd != self._fd or at != self._at + self._total or len(self._parts) == _MOST or total > RW_MAX:
            self.flush()
            self._fd, self._at, total = fd, at, length
        self._parts += start, length
        self._total = total

    def flush(self) -> None:
        """The call for what has been added."""
        parts, self._parts, self._total = self._parts, [], 0
        if len(parts) == 2:
            self._calls.append(Call(x86_64.pread64, self._fd, *parts, self._at, why="pages"))
        elif parts:
            vector = pack(f"={len(parts)}Q", *parts)
            self._calls.append(Call(x86_64.preadv, self._fd, vector, len(parts) // 2, self._at, 0, why="pages"))


def _allocate(vma: Vma, start: int, length: int, at: int, fd: Slot | int, huge: bool) -> Iterator[Call]:
    words = vma.flags.split()
    if "hg" in words:
        whole = vma.end - vma.start  # a part of it would split the mapping
        yield Call(x86_64.madvise, vma.start, whole, mman.MADV_HUGEPAGE, why="huge pages, as advised", ok=_MAY_FAIL)
    if huge and "nh" not in words:
        yield from collapse(start, length, at, fd)
    else:
        yield from populate(start, length)


def populate(start: int, length: int) -> Iterator[Call]:
    """The memory of a run in one call (Linux 5.14)."""
    yield Call(x86_64.madvise, start, length, mman.MADV_POPULATE_WRITE, why="memory for pages", ok=_MAY_FAIL)


def collapse(start: int, length: int, at: int, fd: Slot | int) -> Iterator[Call]:
    """Huge pages of the blocks that lie in a run, and are filled completely, so that the process does not grow.

    Only what is there can be collapsed, so the first page of each is read before (Linux 6.1).
    """
    low, high = -(-start // HUGE) * HUGE, (start + length) // HUGE * HUGE
    for block in range(low, high, HUGE):
        yield Call(x86_64.pread64, fd, block, PAGE, at + block - start, why="first page of a huge one")
    if low < high:
        yield Call(x86_64.madvise, low, high - low, mman.MADV_COLLAPSE, why="huge pages", ok=_MAY_FAIL)


def check_filled(calls: Sequence[Call], answers: Sequence[Answer]) -> None:
    """See that each read has read all it was to read. :raises ImageError: one has not."""
    for call, answer in zip(calls, answers, strict=True):
        if call.nr in _READS and answer.ret != (wanted := _wanted(call)):
            raise ImageError(
                f"the page store gave {answer.ret} of {wanted} bytes at {call.args[3]!r}",
                code="image-truncated",
                resource="pages.bin",
                hint="use another copy of the image",
            )


def _wanted(call: Call) -> int:
    """How many bytes a read is for."""
    _, vector, length, *_ = call.args
    if isinstance(vector, bytes):
        return sum(memoryview(vector).cast("Q")[1::2])
    assert isinstance(length, int)
    return length


def huge_pages_allowed() -> bool:
    """Whether the administrator allows transparent huge pages at all; MADV_COLLAPSE itself does not ask."""
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled") as f:
            return "[never]" not in f.read()
    except OSError:
        return False
