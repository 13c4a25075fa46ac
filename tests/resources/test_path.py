from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from facts import World

from replant.errors import Blocker


def place(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / kind
    if kind == "file":
        path.write_bytes(b"data")
    elif kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("nowhere")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(path))
    return path


@pytest.mark.parametrize("kind", ["file", "directory", "link", "fifo", "socket"])
def test_any_type(world: World, tmp_path: Path, kind: str) -> None:
    path = place(tmp_path, kind)
    files, (new,) = world.again("path", os.open(path, os.O_PATH | os.O_NOFOLLOW))
    world.unchanged(files, [new])
    assert os.fstat(new).st_ino == os.lstat(path).st_ino
    with pytest.raises(OSError):
        os.read(new, 1)


def test_changed_at_restore(world: World, tmp_path: Path) -> None:
    path = place(tmp_path, "link")
    files = world.read("path", world.own(os.open(path, os.O_PATH | os.O_NOFOLLOW)))
    path.unlink()
    with pytest.raises(Blocker, match="No such file"):
        world.make(files)
    path.symlink_to("elsewhere")
    with pytest.raises(Blocker, match="something else"):
        world.make(files)


def test_a_removed_link_is_there_for_a_moment(world: World, tmp_path: Path) -> None:
    path = place(tmp_path, "link")
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    path.unlink()
    files, (new,) = world.again("path", fd)
    world.unchanged(files, [new])
    assert os.fstat(new).st_nlink == 0 and not os.path.lexists(path)


def test_a_removed_one_whose_name_is_taken_is_refused(world: World, tmp_path: Path) -> None:
    path = place(tmp_path, "link")
    fd = world.own(os.open(path, os.O_PATH | os.O_NOFOLLOW))
    path.unlink()
    files = world.read("path", fd)
    path.touch()
    with pytest.raises(Blocker, match="old name"):
        world.make(files)


def test_what_nothing_else_leads_to_is_refused(world: World) -> None:
    r, w = os.pipe()
    world.own(w)
    fd = world.own(os.open(f"/proc/self/fd/{r}", os.O_PATH))
    os.close(r)
    with pytest.raises(Blocker, match="no name"):
        world.read("path", fd)
