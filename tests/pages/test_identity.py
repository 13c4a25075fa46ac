"""Equal pages stand in the store once, pages of zeros not at all; and every page reads as it did."""

from __future__ import annotations

import os
import random
import sys
from itertools import pairwise
from pathlib import Path
from struct import iter_unpack, pack

import pytest

from live.command import replant_json
from live.program import Program
from replant.image import sums, zeros
from replant.image.container import open_image
from replant.model.invariants import GUARD, PAGE
from replant.model.places import place, split
from replant.model.tree import Mm, Model, Vma
from replant.pages import identity
from replant.resources import registry

HERE = Path(__file__).parent


def contents(mm: Mm, fd: int) -> dict[int, bytes]:
    """Every page of the image's own store, by address."""
    return {
        start + n: os.pread(fd, PAGE, at + n)
        for start, size, at in iter_unpack("<QQQ", mm.runs)
        if at != GUARD and not split(at)[0]
        for n in range(0, size, PAGE)
    }


def spaces(fd: int, seed: int, pool: int) -> list[Mm]:
    """Three address spaces of runs with pages out of a few, one behind the other in the file, guards between."""
    chance = random.Random(seed)
    known = [bytes(PAGE), *(chance.randbytes(PAGE) for _ in range(pool))]
    mms, at = [], 3 * PAGE
    for pid in (1, 2, 3):
        rows, address = b"", 0x10000
        for _ in range(chance.randint(1, 12)):
            count = chance.randint(1, 700 if pool < 9 else 40)
            data = b"".join(chance.choices(known, k=count))
            os.pwrite(fd, data, at)
            rows += pack("<QQQ", address, len(data), at) + pack("<QQQ", address + len(data), PAGE, GUARD)
            at += len(data)
            address += len(data) + chance.choice((PAGE, 5 * PAGE))
        mms.append(Mm(pid, (Vma(0, 1 << 40, 3, False, "", 0, "anon", -1),), rows))
    return mms


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("digest", [sums.quick, lambda page: page[0]], ids=["good", "bad"])
def test_all_pages_are_as_they_were(seed: int, digest: object, tmp_path: Path) -> None:
    """Also with a checksum that says that different pages are the same."""
    assert callable(digest)
    fd = os.open(tmp_path / "store", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"before" * 2000, 0)
    mms = spaces(fd, seed, pool=seed + 3)
    before, size = [contents(mm, fd) for mm in mms], os.fstat(fd).st_size
    merged = identity.merge(mms, fd, digest)
    assert [contents(mm, fd) for mm in merged] == before
    assert os.pread(fd, 12000, 0) == b"before" * 2000
    if size > 1 << 20 and digest is sums.quick:
        assert os.fstat(fd).st_size < size
    for mm in merged:
        rows = [*iter_unpack("<QQQ", mm.runs)]
        assert rows == sorted(rows)
        assert all(a + n <= b for (a, n, _), (b, _, _) in pairwise(rows))
    os.close(fd)


def test_what_is_not_pages_alone_is_left_as_it_is(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "store", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, bytes(4 << 20), 0)
    row = pack("<QQQ", 1 << 20, 2 << 20, 0)
    both = [Mm(1, (), row), Mm(2, (), pack("<QQQ", 1 << 20, 1 << 20, 3 << 20))]  # between them something else
    assert identity.merge(both, fd, sums.quick) == tuple(both)
    assert os.fstat(fd).st_size == 4 << 20
    os.close(fd)


def test_zeros_of_anonymous_memory_are_dropped() -> None:
    anon = Vma(0x10000, 0x20000, 3, False, "", 0, "anon", -1)
    file = Vma(0x20000, 0x30000, 3, False, "", 0, "file", 0)
    rows = [(0x10000, 4 * PAGE, 0), (0x1F000, PAGE, GUARD), (0x20000, 2 * PAGE, 0), (0x22000, PAGE, place(1, 0))]
    model = Model(1, 0, (), (Mm(1, (anon, file), b"".join(pack("<QQQ", *row) for row in rows)),), (), (), ())
    found = zeros.dropped(model, [0, 2 * PAGE])
    kept = [*iter_unpack("<QQQ", found.mms[0].runs)]
    assert kept == [(0x11000, PAGE, PAGE), (0x13000, PAGE, 3 * PAGE), *rows[1:]]
    assert zeros.dropped(model, []) is model


def test_pages_of_zeros_are_found() -> None:
    block = bytearray(8 * PAGE)
    block[PAGE] = 1
    block[3 * PAGE + 100] = 1
    block[7 * PAGE - 1] = 1
    offsets = zeros.pages(memoryview(block)[:-5], 1 << 20)
    assert offsets == [(1 << 20) + n * PAGE for n in (0, 2, 4, 5)]
    assert [*zeros.runs(offsets)] == [((1 << 20) + a * PAGE, (1 << 20) + b * PAGE) for a, b in ((0, 1), (2, 3), (4, 6))]


@pytest.mark.isolated
def test_forked_workers_take_little_more_than_one(tmp_path: Path) -> None:
    """Ten workers, forked from a Python with much in memory, which all of them have then looked at and so copied."""
    folder, image = tmp_path / "tree", tmp_path / "image"
    folder.mkdir()
    with Program.start([sys.executable, str(HERE / "workers.py"), "10"], folder) as program:
        program.until_ready()
        program.ask()
        report = replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        with open_image(str(image)) as opened:
            runs = [run for mm in opened.model(registry.state_class).mms for run in iter_unpack("<QQQ", mm.runs)]
        memory = sum(length for _, length, at in runs if at != GUARD)
        assert memory > 60 << 20
        assert report["pages_written"] * PAGE <= report["bytes_written"] < memory / 4
        replant_json("restore", image, "--detach")
        program.ask()


def test_what_promises_little_is_not_gone_through() -> None:
    def space(pid: int, size: int) -> Mm:
        return Mm(pid, (), pack("<QQQ", 1 << 20, size, pid << 30))

    assert identity.promises([space(1, 20 << 20), space(2, 20 << 20)])
    assert not identity.promises([space(1, 1 << 30)])
    assert not identity.promises([space(n, PAGE) for n in range(200)])
