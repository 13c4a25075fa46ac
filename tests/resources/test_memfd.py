from __future__ import annotations

import errno
import fcntl
import mmap
import os

import pytest
from facts import World
from hypothesis import given
from hypothesis import strategies as st

from replant.errors import Blocker

SEAL = fcntl.F_ADD_SEALS
ALL = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def memfd(name: str = "x", flags: int = os.MFD_ALLOW_SEALING) -> int:
    return os.memfd_create(name, flags | os.MFD_CLOEXEC)


@given(
    runs=st.lists(st.tuples(st.integers(0, 300_000), st.binary(min_size=1, max_size=9000)), max_size=5),
    size=st.integers(0, 400_000),
    name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50),
)
def test_contents_size_and_name(runs: list[tuple[int, bytes]], size: int, name: str) -> None:
    with World() as world:
        fd = memfd(name)
        os.ftruncate(fd, size)
        for offset, data in runs:
            os.pwrite(fd, data, offset)
        expected = os.pread(fd, 1 << 20, 0)
        os.lseek(fd, 7, os.SEEK_SET)
        files, (new,) = world.again("memfd", fd)
        world.unchanged(files, [new])
        assert os.pread(new, 1 << 20, 0) == expected
        assert os.readlink(f"/proc/self/fd/{new}") == f"/memfd:{name} (deleted)"


def test_a_read_does_not_move_the_offset(world: World) -> None:
    fd = world.own(memfd())
    os.write(fd, b"x" * 10000)
    world.read("memfd", fd)
    assert os.lseek(fd, 0, os.SEEK_CUR) == 10000


@pytest.mark.parametrize("seals", [fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW, fcntl.F_SEAL_WRITE, ALL, fcntl.F_SEAL_SEAL])
def test_seals(world: World, seals: int) -> None:
    fd = memfd()
    os.write(fd, b"data")
    fcntl.fcntl(fd, SEAL, seals)
    files, (new,) = world.again("memfd", fd)
    world.unchanged(files, [new])
    assert fcntl.fcntl(new, fcntl.F_GET_SEALS) == seals


def test_without_sealing_and_with_mode_and_owner(world: World) -> None:
    fd = memfd(flags=0)
    os.fchmod(fd, 0o400)
    os.fchown(fd, 1000, 1001)
    files, (new,) = world.again("memfd", fd)
    world.unchanged(files, [new])
    st = os.fstat(new)
    assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o400, 1000, 1001)
    with pytest.raises(PermissionError):
        fcntl.fcntl(new, SEAL, fcntl.F_SEAL_GROW)


@pytest.mark.parametrize("flag", [0x08, 0x10])  # MFD_NOEXEC_SEAL, MFD_EXEC
def test_executable_or_not(world: World, flag: int) -> None:
    files, (new,) = world.again("memfd", memfd(flags=flag))
    world.unchanged(files, [new])
    if flag == 0x08:
        with pytest.raises(PermissionError):
            os.fchmod(new, 0o777)
    else:
        assert os.fstat(new).st_mode & 0o111


def test_the_last_seal_waits_for_its_mappings(world: World) -> None:
    future = 0x10  # F_SEAL_FUTURE_WRITE
    fd = memfd()
    os.write(fd, b"data")
    fcntl.fcntl(fd, SEAL, future | fcntl.F_SEAL_SEAL)
    files, (new,) = world.again("memfd", fd)
    with mmap.mmap(new, 4) as mapping:
        world.finish(files[0])
        world.finish(files[0])
        world.unchanged(files, [new])
        mapping[:4] = b"DATA"
    assert os.pread(new, 4, 0) == b"DATA"
    with pytest.raises(OSError) as error:
        os.write(new, b"x")
    assert error.value.errno == errno.EPERM


def test_several_descriptions_of_one_inode(world: World) -> None:
    fd = memfd()
    os.write(fd, b"0123456789")
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    os.lseek(reader, 3, os.SEEK_SET)
    appender = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_APPEND)
    files, new = world.again("memfd", reader, fd, appender)
    world.unchanged(files, new)
    os.write(new[2], b"!")
    assert os.read(new[0], 100) == b"3456789!"
    assert len({os.fstat(fd).st_ino for fd in new}) == 1


def test_read_only_descriptions_leave_no_writable_one(world: World) -> None:
    fd = memfd("program", 0x10)
    with open("/bin/true", "rb") as program:
        os.write(fd, program.read())
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    os.close(fd)
    _, (new,) = world.again("memfd", reader)
    assert os.waitstatus_to_exitcode(os.waitpid(_spawn(new), 0)[1]) == 0


def _spawn(fd: int) -> int:
    return os.posix_spawn(f"/proc/self/fd/{fd}", ["true"], {})


def test_a_lock_is_refused(world: World) -> None:
    fd = world.own(memfd())
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(Blocker, match="lock"):
        world.read("memfd", fd)
