"""Saved pages back into a process that is being made: the calls that it runs itself.

As built::

    fill_calls(runs, fd, vmas=()) -> list[Call]     # ``runs`` of `Mm`; ``fd``: the page store in that process
    check_filled(calls, answers) -> None            # raises unless every byte was read

The mappings must stand, writable. A page is filled by pread(2), which allocates it, and the allocation is what costs.
Where ``vmas`` are given, large anonymous areas are therefore made of huge pages first (MADV_COLLAPSE, madvise(2)), which
is several times as fast. Only blocks of 2 MiB that are filled completely are, so that the process does not grow, and only
where neither it nor the administrator has said no to huge pages.
"""

from __future__ import annotations

import errno
from struct import iter_unpack

from replant.abi import mman, x86_64
from replant.abi.call import Call
from replant.errors import ImageError
from replant.pages.store import GUARD, RW_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.abi.call import Answer, Slot
    from replant.model.tree import Vma

PAGE = 4096
HUGE = 2 << 20
WORTH_HUGE = 4 << 20
_MADV_GUARD_INSTALL = 102
# no memory for a huge page, or none wanted: the pages are filled one by one
_COLLAPSE_MAY_FAIL = (errno.EAGAIN, errno.ENOMEM, errno.EINVAL, errno.EBUSY)


def fill_calls(runs: bytes, fd: Slot | int, vmas: Sequence[Vma] = ()) -> list[Call]:
    """Calls that fill the pages of an address space from the store, huge pages first where they pay."""
    calls: list[Call] = []
    guards: list[Call] = []
    where = iter(vmas if huge_pages_allowed() else ())
    vma = next(where, None)
    for start, length, at in iter_unpack("<QQQ", runs):
        if at == GUARD:
            guards.append(Call(x86_64.madvise, start, length, _MADV_GUARD_INSTALL, why="guard pages"))
            continue
        if length >= WORTH_HUGE:
            while vma is not None and vma.end <= start:
                vma = next(where, None)
            if vma is not None and vma.file < 0 and "nh" not in vma.flags.split():
                calls += _collapse(start, length, at, fd)
        calls += _read(start, length, at, fd)
    return calls + guards


def _collapse(start: int, length: int, at: int, fd: Slot | int) -> Iterator[Call]:
    """One page of each block, since only what is there can be collapsed, then the blocks (MADV_COLLAPSE, Linux 6.1)."""
    low, high = -(-start // HUGE) * HUGE, (start + length) // HUGE * HUGE
    for block in range(low, high, HUGE):
        yield Call(x86_64.pread64, fd, block, PAGE, at + block - start, why="a first page")
    if low < high:
        yield Call(x86_64.madvise, low, high - low, mman.MADV_COLLAPSE, why="huge pages", ok=_COLLAPSE_MAY_FAIL)


def _read(start: int, length: int, at: int, fd: Slot | int) -> Iterator[Call]:
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
