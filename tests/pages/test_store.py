"""What goes into the page store comes out of it, and holes stay holes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from replant.errors import ImageError, ReplantError
from replant.model.tree import Extent
from replant.pages.store import PAGE, PageReader, PageWriter

MIB = 1 << 20


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "pages.bin", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def sparse(where: str, tmp_path: Path) -> tuple[int, bytes]:
    """A file with data at 0, at 4 MiB and up to its end, and what it reads as."""
    fd = os.memfd_create("x") if where == "memfd" else os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 8 * MIB + 10)
    for at, size in ((0, 100), (4 * MIB, 2 * MIB), (8 * MIB, 10)):
        os.pwrite(fd, os.urandom(size), at)
    return fd, os.pread(fd, 8 * MIB + 10, 0)


def test_bytes_are_packed_and_reserved_room_is_aligned(fd: int) -> None:
    store = PageWriter(fd)
    assert store.keep(b"abc") == Extent(0, 3, 0)
    assert store.keep(b"") == Extent(0, 0, 3)
    assert store.keep(b"defg") == Extent(0, 4, 3)
    assert (store.reserve(10), store.size) == (PAGE, PAGE + 10)
    assert (store.reserve(PAGE, 2 * MIB), store.size) == (2 * MIB, 2 * MIB + PAGE)
    reader = PageReader(fd)
    assert reader.load(Extent(0, 4, 3)) == b"defg" and reader.load(Extent(9, 0, 3)) == b""
    assert PageWriter(fd).size == 7, "a writer goes on behind what was written"


@pytest.mark.parametrize("where", ["memfd", "disk"])
@pytest.mark.parametrize("splice", [True, False])
def test_files_are_kept_without_their_holes(
    fd: int, tmp_path: Path, where: str, splice: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not splice:
        monkeypatch.setattr(os, "copy_file_range", _cannot)
    file, content = sparse(where, tmp_path)
    os.lseek(file, 77, os.SEEK_SET)
    store = PageWriter(fd)
    extents = store.keep_file(file, len(content))
    assert os.lseek(file, 0, os.SEEK_CUR) == 77
    found = bytearray(len(content))
    for e in extents:
        assert e.at % PAGE == 0
        found[e.offset : e.offset + e.length] = PageReader(fd).load(e)
    assert found == content
    assert sum(e.length for e in extents) < 3 * MIB
    assert store.size < 3 * MIB
    os.close(file)


def _cannot(*args: int) -> int:
    raise OSError(errno.EXDEV, "no")


def test_only_the_first_bytes_are_kept(fd: int, tmp_path: Path) -> None:
    file, content = sparse("disk", tmp_path)
    extents = PageWriter(fd).keep_file(file, 50)
    assert extents == (Extent(0, 50, 0),) and PageReader(fd).load(extents[0]) == content[:50]
    assert PageWriter(fd).keep_file(file, 0) == ()
    os.close(file)


def test_files_without_a_size_of_their_own(fd: int) -> None:
    """copy_file_range says 0 for procfs; the contents come by read(2)."""
    with open("/proc/version", "rb") as f:
        content = f.read()
        extents = PageWriter(fd).keep_file(f.fileno(), len(content))
    assert b"".join(map(PageReader(fd).load, extents)) == content


def test_a_file_that_shrinks_is_told(fd: int, tmp_path: Path) -> None:
    file, content = sparse("disk", tmp_path)
    os.ftruncate(file, 5 * MIB)
    monkey = os.fstat(file).st_size
    assert monkey < len(content)
    os.pwrite(file, b"x", 5 * MIB - 1)
    with pytest.raises(ReplantError) as e:
        PageWriter(fd)._copy(file, 4 * MIB, 6 * MIB, 0)
    assert e.value.code == "file-changed"
    os.close(file)


def test_a_full_disk_has_a_code() -> None:
    full = os.open("/dev/full", os.O_RDWR)
    for keep in (lambda s: s.keep(b"x"), lambda s: s.keep_file(os.open("/proc/version", os.O_RDONLY), 10)):
        with pytest.raises(ReplantError) as e:
            keep(PageWriter(full))
        assert e.value.code == "no-space" and e.value.hint
    os.close(full)


def test_what_lies_outside_of_the_store_is_refused(fd: int) -> None:
    PageWriter(fd).keep(b"x" * 10)
    for extent in (Extent(0, 11, 0), Extent(0, 1, 10), Extent(0, -1, 5), Extent(0, 1, -1), Extent(0, 1 << 60, 0)):
        with pytest.raises(ImageError) as e:
            PageReader(fd).load(extent)
        assert e.value.code == "image-truncated"
