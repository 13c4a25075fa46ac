from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from execute import run
from facts import World

from replant.abi.call import Track
from replant.errors import Blocker
from replant.resources.files import regular
from replant.resources.shared import search


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_NONBLOCK])
def test_flags_offset_and_contents(world: World, tmp_path: Path, flags: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    fd = os.open(path, flags | os.O_CREAT)
    os.lseek(fd, 4, os.SEEK_SET)
    files, (new,) = world.again("regular", fd)
    world.unchanged(files, [new])
    if flags & os.O_ACCMODE != os.O_WRONLY:
        assert os.read(new, 3) == b"456"
    else:
        os.write(new, b"+")
        assert path.read_bytes() == b"0123456789+"


def test_offset_past_two_gib(world: World, tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 3 << 30)
    os.lseek(fd, 0x9000_0001, os.SEEK_SET)
    files, (new,) = world.again("regular", fd)
    world.unchanged(files, [new])


def test_never_truncated(world: World, tmp_path: Path) -> None:
    path = tmp_path / "file"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(fd, b"data")
    world.again("regular", fd)
    assert path.read_bytes() == b"data"


def test_a_log_may_have_grown(world: World, tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    files = world.read("regular", fd)
    path.write_bytes(b"more")
    (new,) = world.make(files)
    os.write(new, b"!")
    assert path.read_bytes() == b"more!"


@pytest.mark.parametrize("change", ["size", "time", "gone", "directory"])
def test_a_changed_file_is_refused(world: World, tmp_path: Path, change: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    files = world.read("regular", world.own(os.open(path, os.O_RDWR)))
    if change == "size":
        path.write_bytes(b"other data")
    elif change == "time":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    if change == "directory":
        path.mkdir()
    with pytest.raises(Blocker, match=str(path)):
        world.make(files)


def test_another_link_is_found(world: World, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b/c").mkdir(parents=True)
    path, link = tmp_path / "a/file", tmp_path / "b/c/link"
    path.write_bytes(b"data")
    os.link(path, link)
    fd = os.open(path, os.O_RDONLY)
    path.unlink()
    shown = os.readlink(f"/proc/self/fd/{fd}")
    files, (new,) = world.again("regular", fd)
    world.unchanged(files, [new])
    assert os.path.samestat(os.fstat(new), link.stat()) and os.listdir(tmp_path / "a") == []
    assert os.readlink(f"/proc/self/fd/{new}") == shown


def test_a_name_that_stands_for_another_file_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_ENTRIES", 1)
    path = tmp_path / "file"
    path.write_bytes(b"data")
    fd = world.own(os.open(path, os.O_RDONLY))
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "far").mkdir()
    os.link(path, tmp_path / "far/link")
    os.rename(tmp_path / "other", path)
    with pytest.raises(Blocker, match="name"):
        world.read("regular", fd)


def test_a_lock_is_refused_unless_it_is_to_be_kept(world: World, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    fd = os.open(path, os.O_RDWR)
    other = world.own(os.open(path, os.O_RDWR))
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(Blocker, match="lock"):
        world.read("regular", fd)
    world.choices["locks"] = "keep"
    files, (new,) = world.again("regular", fd)
    fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with pytest.raises(BlockingIOError):
        world.attach(files[0], new)
    fcntl.flock(other, fcntl.LOCK_UN)
    world.attach(files[0], new)
    world.unchanged(files, [new])
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_record_locks_are_kept_on_request(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"data")
    with World(locks="keep") as world:
        fd = os.open(path, os.O_RDWR)
        fcntl.lockf(fd, fcntl.LOCK_EX, 512, 1 << 30)
        fcntl.lockf(fd, fcntl.LOCK_SH, 0, 1 << 31)
        files, (new,) = world.again("regular", fd)
        world.attach(files[0], new)
        world.settle(files[0], new)
        world.unchanged(files, [new])


def test_a_lease_is_refused(world: World, tmp_path: Path) -> None:
    fd = world.own(os.open(tmp_path / "file", os.O_RDONLY | os.O_CREAT))
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    with pytest.raises(Blocker, match="lease"):
        world.read("regular", fd)


@pytest.mark.parametrize("what", ["gone", "changed"])
def test_an_embedded_file_is_put_back_and_all_of_it_undone(tmp_path: Path, what: str) -> None:
    with World(files="embed") as world:
        path = tmp_path / "sub/file"
        path.parent.mkdir()
        path.write_bytes(b"as it was")
        path.chmod(0o4640)
        fd = world.own(os.open(path, os.O_RDWR))
        files = world.read("regular", fd)
        path.unlink()
        if what == "gone":
            path.parent.rmdir()
        else:
            path.write_bytes(b"changed since")
        (made,) = world.make(files)
        assert os.read(made, 20) == b"as it was" and os.fstat(made).st_mode & 0o7777 == 0o4640
        path.unlink()
        path.with_name("file.before-restore").unlink(missing_ok=True)
        if what == "gone":
            path.parent.rmdir()
        else:
            path.write_bytes(b"changed since")
        track, back = Track("replant"), Track("replant")
        regular.make(files, track, world)
        run(track)
        back.calls += [call.undo for call in reversed(track.calls) if call.undo is not None]
        run(back)
        if what == "gone":
            assert os.listdir(tmp_path) == []
        else:
            assert os.listdir(path.parent) == ["file"] and path.read_bytes() == b"changed since"
