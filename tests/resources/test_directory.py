from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from facts import World

from replant.errors import Blocker


def test_an_open_directory(world: World, tmp_path: Path) -> None:
    (tmp_path / "entry").touch()
    files, (new,) = world.again("directory", os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY))
    world.unchanged(files, [new])
    assert os.listdir(new) == ["entry"]


def test_a_removed_directory_stays_removed(world: World, tmp_path: Path) -> None:
    path = tmp_path / "gone"
    path.mkdir(mode=0o751)
    first, second = os.open(path, os.O_RDONLY), os.open(path, os.O_RDONLY)
    path.rmdir()
    files, new = world.again("directory", first, second)
    world.unchanged(files, new)
    assert not path.exists()
    assert os.path.sameopenfile(*new)
    assert os.fstat(new[0]).st_mode == files[0].state.mode
    with pytest.raises(FileNotFoundError):
        os.open("file", os.O_CREAT, dir_fd=new[0])


def test_the_name_of_a_removed_directory_may_be_taken_since(world: World, tmp_path: Path) -> None:
    path = tmp_path / "gone"
    path.mkdir()
    fd = os.open(path, os.O_RDONLY)
    path.rmdir()
    files = world.read("directory", world.own(fd))
    path.touch()
    (made,) = world.make(files)
    assert os.fstat(made).st_nlink == 0 and os.listdir(tmp_path) == ["gone"]


def test_a_missing_directory_is_refused(world: World, tmp_path: Path) -> None:
    path = tmp_path / "here"
    path.mkdir()
    files = world.read("directory", world.own(os.open(path, os.O_RDONLY)))
    path.rmdir()
    with pytest.raises(Blocker, match="no such directory"):
        world.make(files)


def test_a_lock_of_the_directory(world: World, tmp_path: Path) -> None:
    fd, other = os.open(tmp_path, os.O_RDONLY), world.own(os.open(tmp_path, os.O_RDONLY))
    fcntl.flock(fd, fcntl.LOCK_SH)
    with pytest.raises(Blocker, match="lock"):
        world.read("directory", fd)
    world.choices["locks"] = "keep"
    files, (new,) = world.again("directory", fd)
    world.attach(files[0], new)
    world.unchanged(files, [new])
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
