"""An image appears whole or not at all, and is opened only if it is whole."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from image.sample import model, resolve
from replant.errors import Bug, ImageError, ReplantError
from replant.image import place
from replant.image.container import ImageWriter, open_image
from replant.image.manifest import Manifest
from replant.pages.store import PageReader, PageWriter

FILES = {"manifest.json", "model.json", "blobs.bin", "pages.bin"}
CONTENT = bytes(range(256)) * 4096


def write(path: Path, content: bytes = CONTENT) -> Manifest:
    with ImageWriter.create(str(path)) as image:
        store = PageWriter(image.pages_fd)
        store.put(content, store.reserve(len(content)))
        found = image.write(model(), resolve, xfeatures=7, notes={"command": "test"})
        image.commit()
    return found


def read(path: Path) -> None:
    """Everything of an image, checked."""
    with open_image(str(path)) as image:
        assert image.model(resolve) == model()
        image.verify()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written = write(tmp_path / "img")
    assert {p.name for p in (tmp_path / "img").iterdir()} == FILES
    assert [p.name for p in tmp_path.iterdir()] == ["img"]
    with open_image(str(tmp_path / "img")) as image:
        assert image.manifest == written
        assert image.model(resolve) == model()
        assert PageReader(image.pages_fd).load(model().files[1].state.content[0]._replace(at=256)) == CONTENT[256:4352]
        image.verify_async().wait()
    with open("/proc/sys/kernel/random/boot_id") as f:
        assert written.boot_id == f.read().strip()
    assert (written.arch, written.kernel, written.xfeatures) == (os.uname().machine, os.uname().release, 7)
    assert dict(written.kinds) == {"files/empty": 3, "files/rich": 3, "task/point": 3, "task/rich": 3}
    assert json.loads((tmp_path / "img/manifest.json").read_bytes())["notes"] == [["command", "test"]]


def test_without_commit_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), ImageWriter.create(str(tmp_path / "img")) as image:
        image.write(model(), resolve)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Bug), ImageWriter.create(str(tmp_path / "img")) as image:
        image.commit()
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_does_not_come_back_is_seen_before_anything_is_lost(tmp_path: Path) -> None:
    for written, words in ((model()._replace(clock="soon"), "clock must be an integer"), (model(3), "is not what")):
        with ImageWriter.create(str(tmp_path / "img")) as image:
            image.write(written, resolve)
            with pytest.raises(Bug, match=words):
                image.check(model(), resolve)
    with ImageWriter.create(str(tmp_path / "img")) as image:
        image.write(model(), resolve)
        image.check(model(), resolve)


def test_an_image_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path / "img", b"1" * 5000)
    with ImageWriter.create(str(tmp_path / "img")) as image:
        image.write(model(), resolve)
        with open_image(str(tmp_path / "img")) as old:
            old.verify()
            assert old.manifest.part("pages.bin").size == 5000
        image.commit(durable=True)
    with open_image(str(tmp_path / "img")) as new:
        assert new.manifest.part("pages.bin").size == 0
    assert [p.name for p in tmp_path.iterdir()] == ["img"]


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    write(tmp_path / "img")
    read(tmp_path / "img")


@pytest.mark.parametrize("what", ["file", "directory", "image and more", "appears later"])
def test_what_is_no_image_is_left_alone(tmp_path: Path, what: str) -> None:
    path = tmp_path / "img"
    if what == "file":
        path.write_text("mine")
    elif what == "directory":
        path.mkdir()
        (path / "mine").write_text("mine")
    elif what == "image and more":
        write(path)
        (path / "mine").write_text("mine")
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    with pytest.raises(ReplantError) as e, ImageWriter.create(str(path)) as image:
        image.write(model(), resolve)
        path.write_text("mine")
        before = [Path("img")]
        image.commit()
    assert e.value.code == "image-exists"
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("path", ["/proc/img", "/nonexistent/img", "/dev/null/img"])
def test_a_place_that_cannot_be_written(path: str) -> None:
    with pytest.raises(ReplantError) as e:
        ImageWriter.create(path)
    assert e.value.code == "no-directory" and e.value.hint and path in str(e.value)


def _die_half_way(path: str, ready: multiprocessing.connection.Connection) -> None:
    image = ImageWriter.create(path)
    image.write(model(), resolve)
    ready.send(True)
    signal.pause()


def test_leftovers_of_the_dead_are_removed_and_of_the_living_kept(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_die_half_way, args=(str(tmp_path / "img"), theirs))
    child.start()
    try:
        assert ours.poll(20) and ours.recv()
        partial = tmp_path / f"img.partial-{child.pid}"
        write(tmp_path / "img")
        assert partial.is_dir()
    finally:
        child.kill()
        child.join()
    (tmp_path / "img.partial-x").mkdir()
    (tmp_path / "img.partial-1").write_text("not a directory")
    write(tmp_path / "img")
    assert {p.name for p in tmp_path.iterdir()} == {"img", "img.partial-x", "img.partial-1"}
    read(tmp_path / "img")


def test_a_partial_image_of_another_namespace_is_not_touched(tmp_path: Path) -> None:
    """A living dumper of another pid namespace may have our number."""
    with ImageWriter.create(str(tmp_path / "img")):
        with pytest.raises(ReplantError) as e:
            ImageWriter.create(str(tmp_path / "img"))
        assert e.value.code == "image-busy"
        assert [p.name for p in tmp_path.iterdir()] == [f"img.partial-{os.getpid()}"]


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_image_cut_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "img", os.urandom(100_000))
    file = tmp_path / "img" / name
    whole = file.read_bytes()
    for size in {*range(0, len(whole), 4096), 1, len(whole) // 3, len(whole) - 1}:
        file.write_bytes(whole[:size])
        with pytest.raises(ImageError) as e:
            read(tmp_path / "img")
        assert e.value.code in ("image-truncated", "image-corrupt") and name in str(e.value), str(e.value)
    file.write_bytes(whole + b"\n")
    with pytest.raises(ImageError):
        read(tmp_path / "img")
    file.unlink()
    with pytest.raises(ImageError) as e:
        read(tmp_path / "img")
    assert e.value.code in ("image-missing", "image-unreadable")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_flipped_bit_is_found_wherever_it_is(tmp_path: Path, name: str) -> None:
    write(tmp_path / "img", os.urandom(3 << 20))
    file = tmp_path / "img" / name
    size = file.stat().st_size
    with open(file, "r+b", buffering=0) as f:
        for at in {*range(0, size, max(1, size // 200)), size - 1}:
            before = os.pread(f.fileno(), 1, at)
            os.pwrite(f.fileno(), bytes((before[0] ^ 1 << at % 8,)), at)
            with pytest.raises(ImageError):
                read(tmp_path / "img")
            os.pwrite(f.fileno(), before, at)
    read(tmp_path / "img")


def test_damage_is_found_in_the_background_too(tmp_path: Path) -> None:
    write(tmp_path / "img")
    with open(tmp_path / "img/pages.bin", "r+b") as f:
        f.write(b"x")
    with open_image(str(tmp_path / "img")) as image:
        handle = image.verify_async()
        with pytest.raises(ImageError, match=r"pages.bin is damaged between byte 0 and"):
            handle.wait()


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b'"format":1,', b'"format":2,', "image-version"),
        (b'"image":"replant"', b'"image":"another"', "image-corrupt"),
        (b'"xfeatures":7', b'"xfeatures":8', "image-corrupt"),
    ],
)
def test_manifests_of_others(tmp_path: Path, old: bytes, new: bytes, code: str) -> None:
    write(tmp_path / "img")
    file = tmp_path / "img/manifest.json"
    data = file.read_bytes()
    assert old in data
    file.write_bytes(data.replace(old, new))
    with pytest.raises(ImageError) as e:
        open_image(str(tmp_path / "img"))
    assert e.value.code == code


def test_no_fifo_in_place_of_a_file_is_waited_for(tmp_path: Path) -> None:
    write(tmp_path / "img")
    for name in FILES:
        saved = (tmp_path / "img" / name).read_bytes()
        (tmp_path / "img" / name).unlink()
        os.mkfifo(tmp_path / "img" / name)
        with pytest.raises(ImageError):
            read(tmp_path / "img")
        (tmp_path / "img" / name).unlink()
        (tmp_path / "img" / name).write_bytes(saved)


def test_blocks_of_zeros_take_no_room(tmp_path: Path) -> None:
    write(tmp_path / "img", b"x" * (2 << 20) + bytes(4 << 20) + b"x")
    assert (tmp_path / "img/pages.bin").stat().st_blocks * 512 < 3 << 20
    read(tmp_path / "img")


def test_every_failing_system_call_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call that can fail while an image is made fails once: the error has a code, and nothing is left."""
    for name in ("mkdir", "open", "pwrite", "fsync", "rename", "listdir", "fstat", "preadv"):
        real = getattr(os, name)
        for turn in range(20):
            calls = iter(range(1000))

            def broken(*args: object, **named: object) -> object:
                if next(calls) == turn:  # noqa: B023
                    raise OSError(errno.ENOSPC, "No space left on device")
                return real(*args, **named)  # noqa: B023

            monkeypatch.setattr(os, name, broken)
            try:
                with ImageWriter.create(str(tmp_path / "img")) as image:
                    os.write(image.pages_fd, CONTENT)
                    image.write(model(), resolve)
                    image.commit(durable=True)
            except ReplantError as e:
                assert e.code == "no-space"
                monkeypatch.setattr(os, name, real)
                assert [p for p in tmp_path.iterdir() if p.name != "img"] == []
                continue
            finally:
                monkeypatch.setattr(os, name, real)
            break
        else:
            pytest.fail(f"{name} never stopped failing")
    read(tmp_path / "img")


def test_a_full_file_system(tmp_path: Path) -> None:
    """A small tmpfs, in a mount namespace of its own (needs root)."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    child = multiprocessing.get_context("fork").Process(target=_fill, args=(tmp_path,))
    child.start()
    child.join(60)
    assert child.exitcode == 0


def _fill(directory: Path) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0x20000) == 0  # CLONE_NEWNS
    assert libc.mount(b"none", b"/", None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE
    assert libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", 0, b"size=1m") == 0
    for size in (900 << 10, 1000 << 10, 1020 << 10, 2 << 20):
        try:
            write(directory / "img", os.urandom(size))
        except ReplantError as e:
            assert e.code == "no-space", e.code
            assert [p.name for p in directory.iterdir()] == ["img"] * (size > 900 << 10)
        else:
            assert size == 900 << 10
            read(directory / "img")
    os._exit(0)


def test_only_our_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/model.json").write_text("")
    (tmp_path / "d/mine").write_text("")
    with pytest.raises(OSError):
        place.remove(str(tmp_path / "d"))
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["mine"]
