"""Images that are cut, damaged or from the future: a restore says so, and nothing is left of it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.support import processes, restore_with_fault, uprooted
from live import wait
from live.command import replant_json
from live.program import Program

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(120)]
PAGE = 4096
FLIPS = 12  # in each file
FILES = ("manifest.json", "model.json", "blobs.bin", "pages.bin")
NO_FAULT = -1


def copies(tmp_path: Path, name: str) -> Iterator[tuple[Path, bytes]]:
    """Again and again a copy of an image, whose file ``name`` is to be damaged; checks that the last was refused."""
    program, image = uprooted(tmp_path)
    before = processes()
    copy = tmp_path / "copy"
    whole = (image / name).read_bytes()
    shutil.copytree(image, copy)
    while True:
        yield copy / name, whole
        words = restore_with_fault(copy, NO_FAULT)
        assert words.startswith("ImageError: "), words or f"a damaged {name} was restored"
        wait.until(lambda: processes() <= before, "what was refused is gone")
        still_good(program, image, before)


def still_good(program: Program, image: Path, before: set[int]) -> None:
    """Nothing of the refused restore is in the way of a good one; tried now and then."""
    if random.random() < 0.1:
        replant_json("restore", image, "--detach")
        program.ask()
        program.kill()
        wait.until(lambda: processes() <= before, "what was refused is gone")


@pytest.mark.parametrize("name", FILES)
def test_cut_at_every_page(tmp_path: Path, name: str) -> None:
    damaged = copies(tmp_path, name)
    file, whole = next(damaged)
    for size in range(0, len(whole), PAGE):
        file.write_bytes(whole[:size])
        next(damaged)
    file.write_bytes(whole + b"\0")
    next(damaged)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit(tmp_path: Path, name: str) -> None:
    damaged = copies(tmp_path, name)
    file, whole = next(damaged)
    for _ in range(min(FLIPS, len(whole))):
        at = random.randrange(len(whole))
        changed = bytearray(whole)
        changed[at] ^= 1 << random.randrange(8)
        file.write_bytes(changed)
        next(damaged)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_gone(tmp_path: Path, name: str) -> None:
    damaged = copies(tmp_path, name)
    file, _ = next(damaged)
    file.unlink()
    next(damaged)


def test_an_image_from_the_future(tmp_path: Path) -> None:
    damaged = copies(tmp_path, "manifest.json")
    file, whole = next(damaged)
    changed = whole.replace(b'"format":1', b'"format":9')
    assert changed != whole
    file.write_bytes(changed)
    answer = replant_json("restore", file.parent, expect=1)
    assert answer["code"] == "image-version"
    assert answer["hint"]
    next(damaged)
