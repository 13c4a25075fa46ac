from __future__ import annotations

import os
from pathlib import Path

import pytest
from facts import World
from hypothesis import given
from hypothesis import strategies as st

from replant.abi import x86_64
from replant.abi.libc import syscall
from replant.errors import Blocker


def unlinked(path: Path, data: bytes = b"0123456789", flags: int = os.O_RDWR) -> int:
    path.write_bytes(data)
    fd = os.open(path, flags)
    path.unlink()
    return fd


def link(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


@given(runs=st.lists(st.tuples(st.integers(0, 1 << 40), st.binary(min_size=1, max_size=9000)), max_size=6))
def test_sparse_contents(tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[int, bytes]]) -> None:
    with World() as world:
        fd = unlinked(tmp_path_factory.mktemp("u") / "file", b"")
        for offset, data in runs:
            os.pwrite(fd, data, offset)
        blocks = os.fstat(fd).st_blocks
        expected = [os.pread(fd, 9000, offset) for offset, _ in runs]
        files, (new,) = world.again("unlinked", fd)
        world.unchanged(files, [new])
        assert [os.pread(new, 9000, offset) for offset, _ in runs] == expected
        assert os.fstat(new).st_blocks <= blocks + 16
        assert os.fstat(new).st_nlink == 0


@pytest.mark.parametrize("name", ["plain", "with 'quotes\" and %s", "new\nline", "ends (deleted)", "ütf\udcff"])
def test_the_last_name_is_still_shown(world: World, tmp_path: Path, name: str) -> None:
    fd = unlinked(tmp_path / name)
    before = link(fd)
    files, (new,) = world.again("unlinked", fd)
    world.unchanged(files, [new])
    assert link(new) == before
    assert os.listdir(tmp_path) == []


def test_mode_owner_times_and_attributes(world: World, tmp_path: Path) -> None:
    fd = unlinked(tmp_path / "file")
    os.fchown(fd, 1000, 1001)
    os.fchmod(fd, 0o4751)
    os.setxattr(fd, "user.colour", b"blue\0green")
    os.utime(fd, ns=(1_000_000_001, 2_000_000_002))
    files, (new,) = world.again("unlinked", fd)
    world.unchanged(files, [new])
    st = os.fstat(new)
    assert (st.st_uid, st.st_gid, st.st_mode & 0o7777, st.st_mtime_ns) == (1000, 1001, 0o4751, 2_000_000_002)
    assert os.getxattr(new, "user.colour") == b"blue\0green"


def test_the_name_is_a_new_file_now(world: World, tmp_path: Path) -> None:
    path = tmp_path / "file"
    fd = unlinked(path)
    path.write_bytes(b"new")
    files, (new,) = world.again("unlinked", fd)
    world.unchanged(files, [new])
    assert os.read(new, 100) == b"0123456789"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_the_directory_is_gone_too(world: World, tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    fd = unlinked(tmp_path / "a/b/file")
    (tmp_path / "a/b").rmdir()
    (tmp_path / "a").rmdir()
    files, (new,) = world.again("unlinked", fd)
    world.unchanged(files, [new])
    assert os.read(new, 100) == b"0123456789"
    assert os.listdir(tmp_path) == []


def test_never_had_a_name(world: World, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    os.write(fd, b"data")
    files, (new,) = world.again("unlinked", fd)
    world.unchanged(files, [new])
    to = os.fsencode(tmp_path / "named")
    syscall(x86_64.linkat, -100, f"/proc/self/fd/{new}".encode(), -100, to, 0x400)  # AT_SYMLINK_FOLLOW
    assert (tmp_path / "named").read_bytes() == b"data"


def test_written_only_and_appending(world: World, tmp_path: Path) -> None:
    fd = unlinked(tmp_path / "file", flags=os.O_WRONLY | os.O_APPEND)
    files, (new,) = world.again("unlinked", fd)
    world.unchanged(files, [new])
    os.write(new, b"!")
    assert os.fstat(new).st_size == 11


def test_one_inode_stays_one(world: World, tmp_path: Path) -> None:
    fd = unlinked(tmp_path / "file")
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    os.lseek(fd, 5, os.SEEK_SET)
    files, new = world.again("unlinked", reader, fd)
    world.unchanged(files, new)
    os.write(new[1], b"X")
    assert os.read(new[0], 100) == b"01234X6789"


def test_a_limit_refuses_larger_ones(tmp_path: Path) -> None:
    with World(**{"unlinked-limit": "9"}) as world:
        fd = world.own(unlinked(tmp_path / "file"))
        with pytest.raises(Blocker, match="limit"):
            world.read("unlinked", fd)


def test_another_filesystem_is_refused(world: World) -> None:
    path = Path("/dev/shm/replant-test-dir")
    path.mkdir()
    try:
        fd = world.own(unlinked(path / "file"))
    finally:
        path.rmdir()
    (file,) = world.read("unlinked", fd)
    with pytest.raises(Blocker, match="filesystem"):
        world.make([file._replace(state=file.state._replace(path="/gone/file"))])
