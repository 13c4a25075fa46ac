from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from facts import World, module_of

from replant.abi import x86_64
from replant.abi.libc import syscall
from replant.errors import Blocker

CLOSE_WRITE, ON_CHILD = 0x8, 0x08000000
IGNORED, SURVIVES, FILESYSTEM, EVICTABLE = 0x20, 0x40, 0x100, 0x200
CONTENT, NONBLOCK, REPORT_NAME = 0x4, 0x2, 0xE00


def create(flags: int = 0) -> int:
    return syscall(x86_64.fanotify_init, flags | NONBLOCK, os.O_RDONLY)


def mark(fd: int, path: Path, mask: int, flags: int = 0) -> None:
    syscall(x86_64.fanotify_mark, fd, 1 | flags, mask, -100, os.fsencode(path) + b"\0")


def masks(fd: int) -> list[int]:
    """Of the events that are queued; their descriptors are closed."""
    try:
        data = os.read(fd, 1 << 16)
    except BlockingIOError:
        return []
    found, at = [], 0
    while at < len(data):
        length, mask, own = struct.unpack_from("=I4xQi", data, at)
        found.append(mask)
        if own >= 0:
            os.close(own)
        at += length
    return found


def replant(world: World, fd: int) -> int:
    files, (new,) = world.again("fanotify", fd)
    world.attach(files[0], new)
    world.unchanged(files, [new])
    return new


def test_marks_of_inodes(world: World, tmp_path: Path) -> None:
    fd = create()
    for name in ("a", "quiet"):
        (tmp_path / name).touch()
    mark(fd, tmp_path, CLOSE_WRITE | ON_CHILD)
    mark(fd, tmp_path / "quiet", CLOSE_WRITE, IGNORED | SURVIVES)
    fd = replant(world, fd)
    for name in ("a", "quiet"):
        (tmp_path / name).write_bytes(b"x")
    assert masks(fd) == [CLOSE_WRITE]


def test_flags_of_the_group_and_of_marks(world: World, tmp_path: Path) -> None:
    fd = create(REPORT_NAME)
    mark(fd, tmp_path, 0x100 | 0x40000000, EVICTABLE)  # FAN_CREATE | FAN_ONDIR
    fd = replant(world, fd)
    (tmp_path / "new").mkdir()
    assert masks(fd) == [0x100 | 0x40000000]


def test_unread_events_are_refused(world: World, tmp_path: Path) -> None:
    fd = world.own(create())
    mark(fd, tmp_path, CLOSE_WRITE | ON_CHILD)
    (tmp_path / "new").write_bytes(b"x")
    with pytest.raises(Blocker, match="not yet read"):
        world.read("fanotify", fd)


def test_permissions_are_a_danger(world: World) -> None:
    (facts,) = world.facts(world.own(create(CONTENT)))
    with pytest.raises(Blocker, match="permissions"):
        module_of("fanotify").danger(facts)


def test_a_mount_that_is_gone_is_refused(world: World, tmp_path: Path) -> None:
    fd = world.own(create())
    mark(fd, Path("/dev/shm"), CLOSE_WRITE, FILESYSTEM)
    (file,) = world.read("fanotify", fd)
    (only,) = file.state.marks
    lost = only._replace(place=only.place._replace(path=str(tmp_path)))
    with pytest.raises(Blocker, match="none is there"):
        world.make([file._replace(state=file.state._replace(marks=(lost,)))])
