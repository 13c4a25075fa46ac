"""Storage that does not take an image: full, forbidden, or taken by something else. The target never minds."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from faults.support import family
from live.command import replant, replant_json
from live.program import Program

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(120)]
_libc = ctypes.CDLL(None, use_errno=True)
STEPS = 12
PROGRAMS = Path(__file__).parents[1] / "programs"


def small_disk(folder: Path, pages: int) -> Path:
    """A tmpfs of that many pages, in the mount namespace of the test."""
    folder.mkdir(exist_ok=True)
    options = f"size={pages * 4096}".encode()
    assert _libc.mount(b"none", bytes(folder), b"tmpfs", 0, options) == 0, os.strerror(ctypes.get_errno())
    return folder


def refused(program: Program, image: Path, code: str) -> dict[str, Any]:
    """A dump that says why it cannot be, leaves the target content, and nothing where the image should be."""
    before = sorted(os.listdir(image.parent))
    answer: dict[str, Any] = replant_json("dump", program.root, "-o", image, expect=1)
    assert answer["code"] == code, answer
    assert answer["resource"], answer
    assert sorted(os.listdir(image.parent)) == before
    program.ask()
    return answer


def test_a_full_disk(tmp_path: Path) -> None:
    with family(tmp_path) as program:
        whole = tmp_path / "whole"
        replant_json("dump", program.root, "-o", whole)
        pages = sum(-(-path.stat().st_blocks // 8) for path in whole.iterdir())
        for number in range(STEPS):
            disk = small_disk(tmp_path / "disk", 2 + pages * number // STEPS)
            answer = refused(program, disk / "image", "no-space")
            assert answer["hint"]
            assert _libc.umount(bytes(disk)) == 0
        disk = small_disk(tmp_path / "disk", 2 * pages)
        replant_json("dump", program.root, "-o", disk / "image")
        program.ask()


HOARD = """
import os, selfcheck
data = os.urandom(1 << 20) * 48
selfcheck.serve(lambda: None if len(set(data[:: 1 << 20])) == 1 else data[1, 2])
"""


def test_a_disk_that_is_full_while_a_process_writes_its_own_pages(tmp_path: Path) -> None:
    path = os.pathsep.join((str(PROGRAMS), os.environ.get("PYTHONPATH", "")))
    with Program.start([sys.executable, "-c", HOARD], tmp_path, {"PYTHONPATH": path}) as program:
        program.until_ready()
        for pages in (6000, 11000):
            disk = small_disk(tmp_path / "disk", pages)
            before = descriptors(program.root)
            refused(program, disk / "image", "no-space")
            assert descriptors(program.root) == before
            assert _libc.umount(bytes(disk)) == 0


def descriptors(pid: int) -> list[str]:
    return sorted(os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd"))


def test_something_else_has_the_name(tmp_path: Path) -> None:
    with family(tmp_path) as program:
        file, folder = tmp_path / "file", tmp_path / "folder"
        file.write_text("mine")
        folder.mkdir()
        (folder / "letters").write_text("mine too")
        for path in (file, folder):
            refused(program, path, "image-exists")
        assert (file.read_text(), (folder / "letters").read_text()) == ("mine", "mine too")


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with family(tmp_path) as program:
        answer = replant_json("dump", program.root, "-o", tmp_path / "no" / "image", expect=1)
        assert answer["code"] == "no-directory"
        program.ask()


def test_a_read_only_disk(tmp_path: Path) -> None:
    with family(tmp_path) as program:
        disk = small_disk(tmp_path / "disk", 100)
        assert _libc.mount(b"none", bytes(disk), None, 32 | 1, None) == 0  # MS_REMOUNT, MS_RDONLY
        refused(program, disk / "image", "no-permission")


def test_the_whole_answer_goes_to_stderr_too(tmp_path: Path) -> None:
    with family(tmp_path) as program:
        done = replant("dump", program.root, "-o", tmp_path / "no" / "image")
        assert (done.returncode, done.stdout) == (1, "")
        assert str(tmp_path / "no") in done.stderr
        program.ask()
