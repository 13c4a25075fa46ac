"""Files that travel in the image, and paths that are others at restore."""

from __future__ import annotations

from pathlib import Path

import pytest

from behaviours.keeping import ask, start
from live.command import replant, replant_json
from live.program import Program

pytestmark = pytest.mark.isolated


def uproot(program: Program, image: Path, *options: str) -> list[str]:
    """What the dump tells."""
    notes: list[str] = replant_json("dump", program.root, "-o", image, "--kill", *options)["notes"]
    program.reap()
    return notes


def test_embedded_files_are_put_back(tmp_path: Path) -> None:
    with start(tmp_path, "regular.precious", "regular.appended") as program:
        tree, image = program.folder, tmp_path / "image"
        (note,) = uproot(program, image, "--files", "embed")
        assert "files go into the image" in note
        was = (tree / "precious").stat()
        (tree / "precious").unlink()
        (tree / "mapped").write_bytes(b"changed since")
        assert replant("check", image).returncode == 0
        notes = replant_json("restore", image, "--detach")["notes"]
        ask(program)
        assert any("put back" in line and "mapped" in line for line in notes)
        assert (tree / "mapped.before-restore").read_bytes() == b"changed since"
        now = (tree / "precious").stat()
        assert (now.st_mode, now.st_uid, now.st_mtime_ns) == (was.st_mode, was.st_uid, was.st_mtime_ns)
        assert not (tree / "log.before-restore").exists()  # as it was: left alone


def test_chosen_files_only(tmp_path: Path) -> None:
    with start(tmp_path, "regular.precious") as program:
        tree, image = program.folder, tmp_path / "image"
        uproot(program, image, "--files", f"embed:{tree}/pre*", "--files", f"embed:{tree}/sub")
        (tree / "precious").unlink()
        (tree / "sub/below").unlink()
        (tree / "sub").rmdir()
        (tree / "mapped").write_bytes(b"changed since")
        done = replant("restore", image, "--detach")
        assert done.returncode == 1 and "mapped: it had" in done.stderr and "precious" not in done.stderr
        assert not (tree / "sub").exists()  # nothing was made


def test_mapped_paths(tmp_path: Path) -> None:
    words = ["regular.precious", "directories.ordinary", "unlinked.all_links_gone", "regular.appended"]
    with start(tmp_path, *words, "notify.watch_by_another_name", "places.path_only_of_pipes") as program:
        tree, image = program.folder, tmp_path / "image"
        uproot(program, image)
        new = tmp_path / "elsewhere"
        tree.rename(new)
        assert replant("check", image).returncode == 1
        option = ("--map-path", f"{tree}={new}")
        assert replant("check", image, *option).returncode == 0
        replant_json("restore", image, "--detach", *option)
        program.folder = new
        ask(program)


def test_wrong_words_are_wrong_usage(tmp_path: Path) -> None:
    assert replant("dump", "1", "-o", tmp_path / "image", "--files", "some").returncode == 2
    assert replant("restore", tmp_path, "--map-path", "here=there").returncode == 2
