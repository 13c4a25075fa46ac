from __future__ import annotations

import ctypes
import mmap
import os

from facts import Facts, World, module_of
from hypothesis import given
from hypothesis import strategies as st

from replant.model.tree import File

LINK = "/dev/zero (deleted)"


def path_of(mapping: mmap.mmap) -> str:
    start = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    return f"/proc/self/map_files/{start:x}-{start + len(mapping):x}"


def saved(world: World, path: str) -> File:
    facts = Facts(world, -1, 0, path)
    module = module_of("shm")
    assert module.claims(facts)
    file = File(0, "shm", os.O_RDWR, 0, None, module.read(facts, world))
    facts.close()
    return file


@given(pages=st.integers(1, 70), runs=st.lists(st.tuples(st.integers(0, 69), st.binary(min_size=1, max_size=4096))))
def test_contents_through_a_mapping(pages: int, runs: list[tuple[int, bytes]]) -> None:
    with World() as world:
        mapping = mmap.mmap(-1, pages * 4096)
        for page, data in runs:
            if page < pages:
                mapping[page * 4096 : page * 4096 + len(data)] = data
        file = saved(world, path_of(mapping))
        assert sum(e.length for e in file.state.extents) == 4096 * len({p for p, _ in runs if p < pages})
        (new,) = world.make([file])
        assert os.readlink(f"/proc/self/fd/{new}") == LINK
        with mmap.mmap(new, pages * 4096) as again:
            assert again[:] == mapping[:]


def test_open_as_a_file_too_and_resized(world: World) -> None:
    mapping = mmap.mmap(-1, 8192)
    mapping[:5] = b"hello"
    fd = os.open(path_of(mapping), os.O_RDWR)
    os.ftruncate(fd, 5000)
    os.fchown(fd, 1000, 1000)
    reader = os.open(path_of(mapping), os.O_RDONLY)
    os.lseek(reader, 2, os.SEEK_SET)
    files, new = world.again("shm", fd, reader)
    world.unchanged(files, new)
    os.pwrite(new[0], b"L", 2)
    assert os.read(new[1], 3) == b"Llo"


def test_terabytes_cost_nothing(world: World) -> None:
    mapping = mmap.mmap(-1, 1 << 40, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x4000)  # MAP_NORESERVE
    mapping[1 << 39 : (1 << 39) + 4] = b"here"
    (new,) = world.make([saved(world, path_of(mapping))])
    assert os.pread(new, 4, 1 << 39) == b"here"
    assert os.fstat(new).st_blocks * 512 <= 1 << 16


def test_nothing_stays_mapped(world: World) -> None:
    mapping = mmap.mmap(-1, 4096)
    world.make([saved(world, path_of(mapping))])
    with open("/proc/self/maps") as maps:
        assert not any(line.startswith("100000000000-") for line in maps)
