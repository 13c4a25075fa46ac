from __future__ import annotations

import fcntl
import os
import select
from pathlib import Path

import pytest
from facts import World, module_of
from hypothesis import given, settings
from hypothesis import strategies as st

from replant.errors import Blocker


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path, 0o640)
    return path


def hung_up(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


@settings(deadline=None)
@given(data=st.binary(max_size=65536))
def test_queued_data(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("f") / "fifo"
    os.mkfifo(path)
    with World() as world:
        both = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        os.write(both, data)
        files, (both,) = world.again("fifo", both)
        world.unchanged(files, [both])
        assert not data or os.read(both, 1 << 16) == data


def test_reader_and_writer(world: World, path: Path) -> None:
    r, w = os.open(path, os.O_RDONLY | os.O_NONBLOCK), os.open(path, os.O_WRONLY)
    os.write(w, b"queued")
    files, (r, w) = world.again("fifo", r, w)
    world.unchanged(files, [r, w])
    os.write(w, b" more")
    assert os.read(r, 100) == b"queued more"
    os.close(w)
    assert os.read(r, 1) == b""


def test_a_reader_that_never_had_a_writer_is_not_hung_up(world: World, path: Path) -> None:
    r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    files, (r,) = world.again("fifo", r)
    world.unchanged(files, [r])
    assert not hung_up(r)
    os.close(os.open(path, os.O_WRONLY))
    files, (r,) = world.again("fifo", r)
    world.unchanged(files, [r])
    assert hung_up(r)


def test_a_removed_fifo(world: World, path: Path) -> None:
    r, w = os.open(path, os.O_RDONLY | os.O_NONBLOCK), os.open(path, os.O_WRONLY)
    os.chmod(path, 0o622)
    path.unlink()
    os.write(w, b"queued")
    files, (r, w) = world.again("fifo", r, w)
    world.unchanged(files, [r, w])
    assert os.read(r, 100) == b"queued"
    assert not path.exists()


@pytest.mark.parametrize("mode", [os.O_RDONLY | os.O_NONBLOCK, os.O_WRONLY])
def test_the_other_side_outside_is_refused(world: World, path: Path, mode: int) -> None:
    r, w = map(world.own, (os.open(path, os.O_RDONLY | os.O_NONBLOCK), os.open(path, os.O_WRONLY)))
    files = world.read("fifo", w if mode == os.O_WRONLY else r)
    with pytest.raises(Blocker, match="outside"):
        module_of("fifo").complete(files)


def test_a_missing_or_other_file_is_refused(world: World, path: Path) -> None:
    files = world.read("fifo", world.own(os.open(path, os.O_RDWR)))
    path.unlink()
    with pytest.raises(Blocker, match="no such FIFO"):
        world.make(files)
    path.touch()
    with pytest.raises(Blocker, match="none now"):
        world.make(files)


def test_a_lock_is_refused(world: World, path: Path) -> None:
    fd = world.own(os.open(path, os.O_RDWR))
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(Blocker, match="lock"):
        world.read("fifo", fd)
