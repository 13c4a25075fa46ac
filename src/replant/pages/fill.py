"""Saved pages back into a process that is being made: the calls that it runs itself.

As built::

    fill_calls(runs, fd, vmas=()) -> list[Call]     # ``runs`` of `Mm`; ``fd``: the page store in that process
    check_filled(calls, answers) -> None            # raises unless every byte was read

The mappings must stand, writable. A page is filled by pread(2), which allocates it, and the allocation is what costs.
Where ``vmas`` are given, anonymous memory is therefore allocated in larger portions first: with MADV_POPULATE_WRITE, in
0.8 of the time of pread alone, or as huge pages with MADV_COLLAPSE, in 0.2 to 0.4 of it. Huge pages are made only of
blocks of 2 MiB that are filled completely, so that the process does not grow, and only where neither it nor the
administrator has said no to them. Ratios: bench/pages/filling.py.
"""

from __future__ import annotations

import errno
from struct import iter_unpack

from replant.abi import mman, x86_64
from replant.abi.call import Call
from replant.errors import ImageError
from replant.model.invariants import GUARD, PAGE
from replant.pages.store import RW_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.abi.call import Answer, Slot
    from replant.model.tree import Vma

HUGE = 2 << 20
WORTH_POPULATING = 256 << 10
_MADV_GUARD_INSTALL = 102
# no memory for it, no huge page wanted, or an older kernel: the pages are filled one by one
_MAY_FAIL = (errno.EAGAIN, errno.ENOMEM, errno.EINVAL, errno.EBUSY, errno.EFAULT)


def fill_calls(runs: bytes, fd: Slot | int, vmas: Sequence[Vma] = ()) -> list[Call]:
    """Calls that fill the pages of an address space from the store; ``vmas`` in order of address."""
    calls: list[Call] = []
    around = iter(vmas)
    vma = next(around, None)
    huge = bool(vmas) and huge_pages_allowed()
    for start, length, at in iter_unpack("<QQQ", runs):
        if at == GUARD:
            calls.append(Call(x86_64.madvise, start, length, _MADV_GUARD_INSTALL, why="guard pages"))
            continue
        if length >= WORTH_POPULATING:
            while vma is not None and vma.end <= start:
                vma = next(around, None)
            if vma is not None and vma.file < 0:
                calls += allocate(start, length, at, fd, huge and "nh" not in vma.flags.split())
        calls += read(start, length, at, fd)
    return calls


def allocate(start: int, length: int, at: int, fd: Slot | int, huge: bool) -> Iterator[Call]:
    """The memory of a run: huge pages where a whole block lies in it, populated pages otherwise.

    Only what is there can be collapsed (MADV_COLLAPSE, Linux 6.1), so the first page of each block is read before.
    """
    low, high = -(-start // HUGE) * HUGE, (start + length) // HUGE * HUGE
    if not huge or low >= high:
        yield Call(x86_64.madvise, start, length, mman.MADV_POPULATE_WRITE, why="memory for pages", ok=_MAY_FAIL)
        return
    for block in range(low, high, HUGE):
        yield Call(x86_64.pread64, fd, block, PAGE, at + block - start, why="first page of a huge one")
    yield Call(x86_64.madvise, low, high - low, mman.MADV_COLLAPSE, why="huge pages", ok=_MAY_FAIL)


def read(start: int, length: int, at: int, fd: Slot | int) -> Iterator[Call]:
    """The contents of a run, in portions that one call can read."""
    for done in range(0, length, RW_MAX):
        yield Call(x86_64.pread64, fd, start + done, min(RW_MAX, length - done), at + done, why="pages")


def check_filled(calls: Sequence[Call], answers: Sequence[Answer]) -> None:
    """See that each pread64 has read all it was to read. :raises ImageError: one has not."""
    for call, answer in zip(calls, answers, strict=True):
        if call.nr == x86_64.pread64 and answer.ret != call.args[2]:
            raise ImageError(
                f"the page store gave {answer.ret} of {call.args[2]!r} bytes at {call.args[3]!r}",
                code="image-truncated",
                resource="pages.bin",
                hint="use another copy of the image",
            )


def huge_pages_allowed() -> bool:
    """Whether the administrator allows transparent huge pages at all; MADV_COLLAPSE itself does not ask."""
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled") as f:
            return "[never]" not in f.read()
    except OSError:
        return False
