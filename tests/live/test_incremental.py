"""Dumps that save only what has changed: chains, what ends them, and a tree that does not care who watches it."""

from __future__ import annotations

import os
import shutil
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from faults.killing import killed_after, lasts
from live import wait
from live.command import command, replant, replant_json
from live.compile import compiled
from live.program import Program
from replant.flows import tracking

CHURN = Path(__file__).parents[1] / "programs" / "churn.c"

pytestmark = pytest.mark.isolated


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    return tmp_path


def churn(folder: Path) -> Program:
    program = Program.start([str(compiled(CHURN, folder))], folder / "tree")
    program.until_ready()
    return program


def dump(program: Program, image: Path, *words: object) -> dict[str, int]:
    report: dict[str, int] = replant_json("dump", program.root, "-o", image, *words)
    return report


def holder(program: Program) -> int:
    """The process that holds the tracking; 0 if there is none."""
    answer = tracking._asked(tracking.Tracking(program.root)._name())
    return answer[0] if answer else 0


def chain(program: Program, folder: Path, length: int, *words: str) -> list[Path]:
    """Images that build on each other, of a program that goes on between them."""
    images = [folder / f"image{n}" for n in range(length)]
    dump(program, images[0], "--track", *words)
    for before, image in pairwise(images):
        program.ask()
        last = image == images[-1]
        report = dump(program, image, "--parent", before, *(["--kill"] if last else ["--track"]), *words)
        assert report["pages_kept"] > 0
    program.reap()
    return images


@pytest.mark.parametrize("words", [(), ("--snapshot",), ("--rounds", "2")], ids=["", "snapshot", "rounds"])
def test_a_chain_is_restored_directly(folder: Path, words: tuple[str, ...]) -> None:
    with churn(folder) as program:
        images = chain(program, folder, 4, *words)
        wait.until(lambda: not holder(program), "its holder has ended with it")
        for image in (images[-1], images[2]):
            replant_json("restore", image, "--detach")
            program.ask()
            program.kill()
        merged = folder / "merged"
        assert replant_json("image", "merge", images[-1], "-o", merged)["images"] == 4
        for image in images:
            shutil.rmtree(image)
        replant_json("image", "verify", merged)
        replant_json("restore", merged, "--detach")
        program.ask()


def test_an_image_may_have_many_children(folder: Path) -> None:
    with churn(folder) as program:
        dump(program, folder / "base", "--track")
        for n in range(3):
            program.ask()
            dump(program, folder / f"child{n}", "--parent", folder / "base")
        program.kill()
        for n in (2, 0):
            replant_json("restore", folder / f"child{n}", "--detach")
            program.ask()
            program.kill()


def test_the_tracking_leaves_no_descriptor_and_can_be_ended(folder: Path) -> None:
    with churn(folder) as program:
        before = sorted(os.listdir(f"/proc/{program.root}/fd"))
        dump(program, folder / "base", "--track")
        assert sorted(os.listdir(f"/proc/{program.root}/fd")) == before
        assert "uw" in Path(f"/proc/{program.root}/smaps").read_text()
        assert replant("check", program.root).returncode == 0
        os.kill(holder(program), signal.SIGKILL)
        wait.until(lambda: not holder(program), "its holder is gone")
        program.ask()
        wait.until(lambda: " uw" not in Path(f"/proc/{program.root}/smaps").read_text(), "nothing watches it")
        report = dump(program, folder / "next", "--parent", folder / "base", "--kill")
        assert report["pages_kept"] == 0
        program.reap()
        shutil.rmtree(folder / "base")
        replant_json("restore", folder / "next", "--detach")
        program.ask()


def refused(program: Program, image: Path, *words: object) -> str:
    done = replant("dump", program.root, "-o", image, *words)
    assert done.returncode == 1
    program.ask()
    return done.stderr


def test_what_cannot_be_the_parent_is_refused(folder: Path) -> None:
    with churn(folder) as program:
        base, other, image = folder / "base", folder / "other", folder / "image"
        dump(program, other, "--track")
        dump(program, base, "--track")
        assert f"changes are tracked since the image {base}" in refused(program, image, "--parent", other)
        assert "cannot be replaced by an image that builds on it" in refused(program, base, "--parent", base)
        assert "is no image" in refused(program, image, "--parent", folder / "missing")
        assert "is no directory here" in refused(program, image, "--parent", "memory://elsewhere/base")
        shutil.rmtree(base)
        shutil.copytree(other, base)
        assert "changes are tracked since the image" in refused(program, image, "--parent", base)
        assert not image.exists()


def test_a_changed_parent_is_refused_when_it_is_needed(folder: Path) -> None:
    with churn(folder) as program:
        images = chain(program, folder, 3)
        shutil.rmtree(images[0])
        shutil.copytree(images[1], images[0])
        done = replant("restore", images[2], "--detach")
        assert done.returncode == 1
        assert "another one is there now" in done.stderr
        assert not Path(f"/proc/{program.root}").exists()


def test_a_dump_that_is_killed_while_it_tracks_harms_nobody(folder: Path) -> None:
    with churn(folder) as program:
        base, image = folder / "base", folder / "image"
        words = command("dump", program.root, "-o", image, "--parent", base, "--track")
        dump(program, base, "--track")
        longest = lasts(words)
        for n in range(10):
            shutil.rmtree(image, ignore_errors=True)
            killed_after(words, longest * n / 10)
            program.ask()
        report = dump(program, folder / "last", "--track")
        assert report["pages_written"] > 0
        dump(program, folder / "after", "--parent", folder / "last", "--kill")
        program.reap()
        replant_json("restore", folder / "after", "--detach")
        program.ask()


def test_most_is_copied_before_the_tree_is_stopped(folder: Path) -> None:
    with churn(folder) as program:
        fds = sorted(os.listdir(f"/proc/{program.root}/fd"))
        report = dump(program, folder / "image", "--rounds", "3")
        assert report["rounds"] == 3
        assert report["rounds_frozen_ms"] > 0
        program.ask()
        assert sorted(os.listdir(f"/proc/{program.root}/fd")) == fds
        assert not holder(program)
        report = dump(program, folder / "last", "--until-frozen", "10000", "--snapshot", "--compress", "none")
        assert report["rounds"] == 2, "one for all, one to see that it is enough"
        program.kill()
        replant_json("image", "verify", folder / "last")
        for image in ("image", "last"):
            replant_json("restore", folder / image, "--detach")
            program.ask()
            program.kill()


def test_a_dump_that_is_killed_in_its_rounds_harms_nobody(folder: Path) -> None:
    with churn(folder) as program:
        image = folder / "image"
        words = command("dump", program.root, "-o", image, "--rounds", "3")
        longest = lasts(words)
        for n in range(8):
            shutil.rmtree(image, ignore_errors=True)
            killed_after(words, longest * n / 8)
            program.ask()
        wait.until(lambda: " uw" not in Path(f"/proc/{program.root}/smaps").read_text(), "nothing watches it")
