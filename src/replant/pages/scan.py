"""Which pages of a process must be saved: the private ones that have contents of their own.

As built::

    scan(pid, vmas) -> Scan           # .runs: array('Q') of start, length, start, length, …; .guards likewise
    since(pid, vmas, known, foreign) -> Scan  # .kept: rows of ``known`` (`Mm.runs`) that are still right
    protect(pid, vmas) -> None        # the moment that the next `since` is about
    marked(pid, vmas) -> list of Vma  # those with marks of a watch that has ended
    private(vmas) -> list of Vma      # the mappings that count

A page counts if it is present or swapped out, belongs to no file and is not the shared page of zeros. Contents of
shared mappings are saved with the files behind them; the vDSO is the kernel's. Runs are cut at the borders of mappings.
``guards`` are pages that MADV_GUARD_INSTALL made inaccessible (Linux 6.13), for example below the stacks of threads
with glibc 2.42; to the kernel they are swapped out, but they cannot be read.

`since` relies on asynchronous write-protection (`replant.abi.userfaultfd`): a page is what it was at the last `protect`
if its mapping is watched, and it is present and not written. Everything else counts as new: a mapping that is new, was
moved or put in the place of another is not watched; a page that was given back (MADV_DONTNEED) is not there, and when
it comes again it is written. What is swapped out counts as new too: it cannot be told from a mark in the page table.
"""

from __future__ import annotations

import errno
import os
from _bisect import bisect_left
from array import array
from itertools import groupby

from replant.abi.pagemap import (
    PAGE_IS_FILE,
    PAGE_IS_GUARD,
    PAGE_IS_PFNZERO,
    PAGE_IS_PRESENT,
    PAGE_IS_SWAPPED,
    PAGE_IS_WPALLOWED,
    PAGE_IS_WRITTEN,
    PM_FILE,
    PM_GUARD,
    PM_PRESENT,
    PM_SCAN_CHECK_WPASYNC,
    PM_SCAN_WP_MATCHING,
    PM_SWAP,
    pagemap_scan,
)
from replant.errors import ReplantError, TaskGone
from replant.model.invariants import PAGE
from replant.pages import reuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from replant.model.tree import Vma

_KERNELS_OWN = frozenset({"vdso"})
_OFF = PAGE_IS_FILE | PAGE_IS_PFNZERO  # what is a file's, or the shared page of zeros, is not saved
_PLAIN = (PAGE_IS_GUARD, 0)
_MUCH = 16 << 20
_NOWHERE = (1 << 64, (1 << 64) + 1)
_STEP = 1 << 29  # bytes of memory that one read of pagemap covers


class Scan:
    """What a scan found: ``runs`` to be saved and ``guards`` to be installed, each flat: start, length, start, …

    ``clean``: runs that were not written since they were protected; ``kept``: rows of start, length, place for pages
    that an earlier dump has.
    """

    __slots__ = ("clean", "guards", "kept", "runs")

    def __init__(self) -> None:
        self.runs = array("Q")
        self.guards = array("Q")
        self.clean = array("Q")
        self.kept = array("Q")

    def add(self, other: Scan) -> None:
        """Put the pages of another part of the address space behind these."""
        for name in self.__slots__:
            getattr(self, name).extend(getattr(other, name))

    @property
    def bytes(self) -> int:
        """How much is to be saved."""
        return sum(self.runs[1::2])


def private(vmas: Iterable[Vma]) -> list[Vma]:
    """The mappings whose contents belong to the process alone."""
    return [v for v in vmas if not v.shared and v.kind not in _KERNELS_OWN]


def scan(pid: int, vmas: Iterable[Vma]) -> Scan:
    """The pages of a stopped process that must be saved; ``vmas`` are its mappings in order of address.

    :raises TaskGone: it ended. :raises ReplantError: its page tables may not be looked at.
    """
    return _scanned(pid, vmas, _PLAIN)


def since(pid: int, vmas: Iterable[Vma], known: bytes, foreign: Container[int] = ()) -> Scan:
    """As `scan`, but for pages that are what they were at the last `protect`, and that ``known`` (`Mm.runs`) has.

    Mappings that begin at an address in ``foreign`` are watched by somebody else, if at all.
    """
    watched = PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN | PAGE_IS_PRESENT
    found = _scanned(pid, vmas, (PAGE_IS_GUARD | watched, watched), foreign)
    reuse.settle(found, known)
    return found


def protect(pid: int, vmas: Iterable[Vma]) -> None:
    """From now on it is noted which pages of watched mappings are written. Raises as `scan`.

    Only of these mappings: between them can be some that the process itself watches, and asks about.
    """
    new = PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN | PAGE_IS_PRESENT
    fd = _pagemap(pid)
    try:
        for start, end in _stretches(vmas):
            pagemap_scan(fd, start, end, 0, new, 0, 0, PM_SCAN_WP_MATCHING)
    finally:
        os.close(fd)


def _stretches(vmas: Iterable[Vma]) -> list[tuple[int, int]]:
    """Mappings that touch each other as one."""
    found: list[tuple[int, int]] = []
    for v in vmas:
        if found and found[-1][1] == v.start:
            found[-1] = found[-1][0], v.end
        else:
            found.append((v.start, v.end))
    return found


def marked(pid: int, vmas: Iterable[Vma]) -> list[Vma]:
    """The mappings that are not watched, but have pages with the mark of protection. Raises as `scan`.

    A mapping can lose its watch and keep its marks: where mremap(2) puts a watched one beside it, the kernel makes one
    of both, and ends the watch of what was moved (without UFFD_EVENT_REMAP), which is then all of it. A write passes
    over such a mark and leaves it. If the mapping is watched again, the page is taken for one that nobody has written.
    """
    kept = private(vmas)
    if not kept:
        return []
    none = PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN
    fd = _pagemap(pid)
    try:
        found = pagemap_scan(fd, kept[0].start, kept[-1].end, none, none, PAGE_IS_PRESENT | PAGE_IS_SWAPPED, 0)
    finally:
        os.close(fd)
    starts = _cut(found, kept).runs[0::2]
    return [v for v in kept if bisect_left(starts, v.start) < bisect_left(starts, v.end)]


def is_watched(pid: int, start: int, end: int) -> bool:
    """Whether writes to a mapping are only noted by whoever has write-protected it, and nobody waits for anybody."""
    fd = _pagemap(pid)
    try:
        pagemap_scan(fd, start, end, 0, PAGE_IS_WPALLOWED, 0, 0, PM_SCAN_CHECK_WPASYNC)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def _pagemap(pid: int) -> int:
    try:
        return os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        raise TaskGone(pid, "its pages were counted") from None
    except OSError as e:
        raise ReplantError(
            f"the page tables of {pid} cannot be read: {e.strerror}",
            code="no-permission",
            pid=pid,
            hint="run as root, or as the user of the process",
        ) from e


def _scanned(pid: int, vmas: Iterable[Vma], answers: Sequence[int], foreign: Container[int] = ()) -> Scan:
    """The pages of all private mappings; ``answers``: categories to ask for, where the first is not known the next."""
    found, kept = Scan(), private(vmas)
    if kept:
        fd = _pagemap(pid)
        try:
            for (anonymous, others), group in groupby(kept, lambda v: (_is_much_anonymous(v), v.start in foreign)):
                part, wanted = [*group], _PLAIN if others else answers
                found.add(_cut(_regions(fd, part, wanted, PAGE_IS_PFNZERO if anonymous else _OFF), part))
        finally:
            os.close(fd)
    return found


def _is_much_anonymous(vma: Vma) -> bool:
    """Whether it is worth a call of its own: that a page is a file's costs 10 times as much to find out as all else."""
    return vma.file < 0 and vma.end - vma.start >= _MUCH


def _regions(fd: int, vmas: Sequence[Vma], answers: Iterable[int], off: int) -> array[int]:
    """All regions between the first mapping and the last, as triples of start, end, categories."""
    some = PAGE_IS_PRESENT | PAGE_IS_SWAPPED
    for answer in answers:
        try:
            return pagemap_scan(fd, vmas[0].start, vmas[-1].end, off, off, some, answer)
        except OSError as e:
            if e.errno not in (errno.EINVAL, errno.ENOTTY):  # no such category before 6.15, no such ioctl before 6.7
                raise
    return read_regions(fd, vmas)


def _cut(regions: array[int], vmas: Sequence[Vma]) -> Scan:
    """Regions to runs that lie in one mapping each; what lies in none of ``vmas`` is left out."""
    found = Scan()
    add = found.runs.append
    borders = iter([(v.start, v.end) for v in vmas])
    low, high = next(borders)
    for start, end, categories in zip(regions[0::3], regions[1::3], regions[2::3], strict=True):
        while high <= start:
            low, high = next(borders, _NOWHERE)
        if low <= start and end <= high and not categories:  # nearly always
            add(start)
            add(end - start)
            continue
        kind = _kind(found, categories)
        while low < end:
            if start < high:
                kind.extend((max(start, low), min(end, high) - max(start, low)))
            if end <= high:
                break
            low, high = next(borders, _NOWHERE)
    return found


def _kind(found: Scan, categories: int) -> array[int]:
    if categories & PAGE_IS_GUARD:
        return found.guards
    watched = PAGE_IS_WPALLOWED | PAGE_IS_PRESENT
    return found.clean if categories & (watched | PAGE_IS_WRITTEN) == watched else found.runs


def read_regions(fd: int, vmas: Iterable[Vma]) -> array[int]:
    """The regions from /proc/PID/pagemap, page by page: slow, and the shared page of zeros counts as contents."""
    found = array("Q")
    for vma in vmas:
        for at in range(vma.start, vma.end, _STEP):
            size = min(_STEP, vma.end - at) // PAGE * 8
            entries = array("Q", os.pread(fd, size, at // PAGE * 8))
            for place, entry in enumerate(entries):
                if entry & (PM_PRESENT | PM_SWAP) and not entry & PM_FILE:
                    start = at + place * PAGE
                    found.extend((start, start + PAGE, PAGE_IS_GUARD if entry & PM_GUARD else 0))
    return found
