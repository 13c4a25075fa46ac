from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

import pytest
from facts import World

from replant.abi import x86_64
from replant.abi.libc import syscall
from replant.errors import Blocker

CREATE, MODIFY, DELETE, ONESHOT, EXCL, NOFOLLOW = 0x100, 0x2, 0x200, 1 << 31, 1 << 26, 1 << 25


def create() -> int:
    return syscall(x86_64.inotify_init1, os.O_NONBLOCK)


def watch(fd: int, path: Path, mask: int) -> int:
    return syscall(x86_64.inotify_add_watch, fd, os.fsencode(path) + b"\0", mask)


def events(fd: int) -> list[tuple[int, int]]:
    """Watch and mask of what is queued."""
    try:
        data = os.read(fd, 1 << 16)
    except BlockingIOError:
        return []
    found, at = [], 0
    while at < len(data):
        wd, mask, _, length = struct.unpack_from("=iIII", data, at)
        found.append((wd, mask))
        at += 16 + length
    return found


def replant(world: World, fd: int) -> int:
    files, (new,) = world.again("inotify", fd)
    world.attach(files[0], new)
    world.unchanged(files, [new])
    return new


def test_numbers_and_masks(world: World, tmp_path: Path) -> None:
    fd = create()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "sp ace\n").mkdir()
    wds = [
        watch(fd, tmp_path, CREATE),
        watch(fd, tmp_path / "sp ace\n", CREATE | ONESHOT | EXCL),
        watch(fd, Path("/dev/shm"), DELETE),
        watch(fd, tmp_path / "link", DELETE | NOFOLLOW),
    ]
    for wd in (wds[0], wds[2]):
        syscall(x86_64.inotify_rm_watch, fd, wd)
    again = watch(fd, tmp_path, CREATE | MODIFY)
    assert len(events(fd)) == 2  # IN_IGNORED
    fd = replant(world, fd)
    assert events(fd) == []
    (tmp_path / "new").touch()
    (tmp_path / "sp ace\n" / "new").touch()
    (tmp_path / "sp ace\n" / "another").touch()
    assert events(fd) == [(again, CREATE), (wds[1], CREATE), (wds[1], 0x8000)]


def test_thousands(world: World, tmp_path: Path) -> None:
    fd = create()
    for n in range(2000):
        (tmp_path / str(n)).touch()
        watch(fd, tmp_path / str(n), MODIFY)
    fd = replant(world, fd)
    (tmp_path / "1999").write_bytes(b"x")
    assert events(fd) == [(2000, MODIFY)]


def test_unread_events_are_refused_and_stay(world: World, tmp_path: Path) -> None:
    fd = world.own(create())
    wd = watch(fd, tmp_path, CREATE)
    (tmp_path / "new").touch()
    with pytest.raises(Blocker, match="not yet read"):
        world.read("inotify", fd)
    assert events(fd) == [(wd, CREATE)]


def test_a_watch_on_a_file_without_a_name_is_refused(world: World, tmp_path: Path) -> None:
    fd, path = world.own(create()), tmp_path / "file"
    path.touch()
    watch(fd, path, MODIFY)
    world.own(os.open(path, os.O_RDONLY))
    path.unlink()
    with pytest.raises(Blocker, match="without a name"):
        world.read("inotify", fd)


def test_another_file_at_restore_is_refused(world: World, tmp_path: Path) -> None:
    fd, path = world.own(create()), tmp_path / "file"
    path.touch()
    watch(fd, path, MODIFY)
    files = world.read("inotify", fd)
    (tmp_path / "other").touch()
    os.rename(tmp_path / "other", path)
    with pytest.raises(Blocker, match="another file"):
        world.make(files)
    path.unlink()
    with pytest.raises(Blocker, match="No such file"):
        world.make(files)


def test_mount_points_hidden_by_others_are_passed_over(world: World, tmp_path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(tmp_path), b"tmpfs", 0, b""):
        pytest.skip("may not mount")
    try:
        fd = world.own(create())
        watch(fd, tmp_path, CREATE)
        (file,) = world.read("inotify", fd)
        assert file.state.watches[0].place.path == str(tmp_path)
        world.stack.close()
    finally:
        libc.umount2(os.fsencode(tmp_path), 2)
