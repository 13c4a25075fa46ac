"""Which pages are found: the kernel's own per-page entries and what was touched are the oracle."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from pages.target import PAGE, RW, Target
from replant.abi import mman, x86_64
from replant.abi.call import Call
from replant.errors import TaskGone
from replant.model.tree import Vma
from replant.pages import scan as scanning
from replant.pages.scan import scan

MADV_GUARD_INSTALL = 102


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as child:
        yield child


def pages(runs: array[int]) -> set[int]:
    """Runs as the addresses of their pages."""
    return {p for a, n in zip(runs[0::2], runs[1::2], strict=True) for p in range(a, a + n, PAGE)}


def test_touched_pages_and_only_they(target: Target) -> None:
    vma = target.map(1000)
    touched = {vma.start + PAGE * n for n in (0, 1, 2, 10, 500, 998, 999)}
    for address in touched:
        target.write(address, b"x")
    target.read(vma.start + 20 * PAGE, 100)  # maps the page of zeros, which has no contents of its own
    found = scan(target.pid, [vma])
    assert pages(found.runs) == touched
    assert len(found.runs) == 2 * 4 and found.bytes == 7 * PAGE and not found.guards


def test_more_regions_than_one_answer_holds(target: Target) -> None:
    vma = target.map(20_000)
    for n in range(0, 20_000, 2):
        target.write(vma.start + n * PAGE, b"x")
    found = scan(target.pid, [vma])
    assert pages(found.runs) == {vma.start + n * PAGE for n in range(0, 20_000, 2)}
    assert len(found.runs) == 2 * 10_000


def test_neighbours_are_cut_at_their_border(target: Target) -> None:
    vma = target.map(6)
    target.fill(vma.start, 6 * PAGE, 1)
    parts = [vma._replace(start=vma.start + 2 * n * PAGE, end=vma.start + 2 * (n + 1) * PAGE) for n in range(3)]
    assert list(scan(target.pid, parts).runs) == [n for p in parts for n in (p.start, 2 * PAGE)]
    # what lies in no mapping of the list is left out
    assert list(scan(target.pid, [parts[0], parts[2]]).runs) == [parts[0].start, 2 * PAGE, parts[2].start, 2 * PAGE]
    assert list(scan(target.pid, [parts[1]]).runs) == [parts[1].start, 2 * PAGE]
    assert list(scan(target.pid, []).runs) == []


def test_shared_memory_is_saved_with_its_file(target: Target) -> None:
    shared, own = sorted([target.map(3, shared=True), target.map(3)])
    for vma in (shared, own):
        target.fill(vma.start, 3 * PAGE, 1)
    expected = own if not own.shared else shared
    assert scanning.private([shared, own]) == [expected]
    assert pages(scan(target.pid, [shared, own]).runs) == set(range(expected.start, expected.end, PAGE))


def test_of_a_private_file_only_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(range(256)) * 16 * 5)
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    with Target(fd) as target:
        vma = target.map(5, fd=fd)
        target.read(vma.start, 5 * PAGE)
        assert not scan(target.pid, [vma]).runs
        target.write(vma.start + 3 * PAGE, b"changed")
        assert list(scan(target.pid, [vma]).runs) == [vma.start + 3 * PAGE, PAGE]
    os.close(fd)


def test_pages_that_may_not_be_read_count_too(target: Target) -> None:
    vma = target.map(4)
    target.fill(vma.start, 4 * PAGE, 1)
    assert target.ask([Call(x86_64.mprotect, vma.start, 4 * PAGE, 0)])[0].ret == 0
    assert scan(target.pid, [vma._replace(prot=0)]).bytes == 4 * PAGE


def test_guard_pages_have_no_contents_but_are_told(target: Target) -> None:
    vma = target.map(8)
    target.fill(vma.start, 8 * PAGE, 1)
    ret = target.ask([Call(x86_64.madvise, vma.start + 2 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL)])[0].ret
    if ret:
        pytest.skip("this kernel has no guard pages (Linux 6.13)")
    found = scan(target.pid, [vma])
    assert list(found.guards) == [vma.start + 2 * PAGE, 2 * PAGE]
    assert list(found.runs) == [vma.start, 2 * PAGE, vma.start + 4 * PAGE, 4 * PAGE]


def test_huge_pages(target: Target) -> None:
    vma = target.map(2048)
    target.ask([Call(x86_64.madvise, vma.start, 2048 * PAGE, mman.MADV_HUGEPAGE)])
    middle = -(-vma.start // (2 << 20)) * (2 << 20)
    target.write(middle, b"x")
    found = scan(target.pid, [vma])
    assert middle in pages(found.runs)
    assert found.bytes in (PAGE, 2 << 20), "a huge page is there as a whole"


def test_the_kernels_own_mappings_are_left_out(target: Target) -> None:
    lines = Path(f"/proc/{target.pid}/maps").read_text().splitlines()
    start, end = next(line.split()[0].split("-") for line in lines if "[vdso]" in line)
    vma = Vma(int(start, 16), int(end, 16), 5, False, "", 0, "vdso")
    assert not scan(target.pid, [vma]).runs


def test_a_whole_process_against_its_page_entries(target: Target) -> None:
    """PAGEMAP_SCAN and the entries of /proc/PID/pagemap agree, but for pages of zeros, which the latter do not tell."""
    target.ask([])  # it has started
    vmas = whole(target.pid)
    runs = pages(scan(target.pid, vmas).runs)
    fd = os.open(f"/proc/{target.pid}/pagemap", os.O_RDONLY)
    regions = scanning.read_regions(fd, scanning.private(vmas))
    os.close(fd)
    entries = pages(scanning._cut(regions, scanning.private(vmas)).runs)
    assert runs and runs <= entries
    with open(f"/proc/{target.pid}/mem", "rb", buffering=0) as memory:
        assert not any(any(os.pread(memory.fileno(), PAGE, p)) for p in entries - runs)


def whole(pid: int) -> list[Vma]:
    """The mappings of a process, without those of the kernel."""
    found = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        area, prot, offset, _, inode, *name = line.split()
        start, end = (int(n, 16) for n in area.split("-"))
        if end < 1 << 56 and not (name and name[0].startswith(("[vvar", "[vdso"))):
            found.append(Vma(start, end, RW, prot[3] == "s", "", int(offset, 16), "file" if inode != "0" else "anon"))
    return found


@pytest.mark.parametrize("error", ["EINVAL", "ENOTTY"])
def test_older_kernels(target: Target, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without guard pages (before 6.15), and without the whole call (before 6.7), the same pages are found."""
    import errno

    vma = target.map(300)
    for n in (0, 1, 299):
        target.write(vma.start + n * PAGE, b"x")
    real = scanning.pagemap_scan

    def older(*args: int) -> array[int]:
        if error == "ENOTTY" or args[-1]:
            raise OSError(getattr(errno, error), error)
        return real(*args)

    monkeypatch.setattr(scanning, "pagemap_scan", older)
    assert pages(scan(target.pid, [vma]).runs) == {vma.start + n * PAGE for n in (0, 1, 299)}


def test_a_process_that_is_gone() -> None:
    with Target() as target:
        vma = target.map(1)
    with pytest.raises(TaskGone):
        scan(target.pid, [vma])
