"""Only processes of x86-64 are known: on another architecture, and of an image from one, nothing is touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from live.cases import needs
from live.command import command, replant_json
from live.program import Program
from replant.image import manifest

pytestmark = pytest.mark.isolated


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    made.mkdir()
    return made


def elsewhere(*words: object) -> dict[str, Any]:
    """The answer of a replant that fails, and that the kernel tells that this is an i686 (personality(2))."""
    argv = [needs("setarch"), "i686", *command(*words, "--json")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def refused(answer: dict[str, Any], name: str) -> None:
    assert (answer["code"], answer["resource"]) == ("architecture", name), answer
    assert name in answer["error"]
    assert answer["hint"]


def sleeping(folder: Path) -> Program:
    return Program.start([sys.executable, "-c", "import signal; signal.pause()"], folder)


def test_a_host_of_another_one(folder: Path) -> None:
    with sleeping(folder) as program:
        image, left = folder / "image", folder / "left"
        pid = program.root
        for words in (["dump", pid, "-o", left], ["check", pid], ["diff", pid, pid], ["ps", "--source", "bpf"]):
            refused(elsewhere(*words), "i686")
        assert not left.exists()
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        refused(elsewhere("restore", image, "--detach"), "i686")
        assert not Path(f"/proc/{program.root}").exists()
        replant_json("restore", image, "--detach")


def test_a_host_of_another_one_says_so(folder: Path) -> None:
    (kernel,) = elsewhere("check")["features"]
    assert (kernel["name"], kernel["present"]) == ("kernel", False)
    assert kernel["fix"]


def test_an_image_of_another_one(folder: Path) -> None:
    with sleeping(folder) as program:
        image = folder / "image"
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        file = image / manifest.NAME
        as_it_was = file.read_bytes()
        file.write_bytes(manifest.render(manifest.parse(as_it_was)._replace(arch="aarch64")))
        for words in (["restore", image], ["check", image]):
            (blocker,) = replant_json(*words, expect=1)["blockers"]
            refused(blocker, "aarch64")
        assert not Path(f"/proc/{program.root}").exists()
        assert replant_json("show", image), "it can be looked at all the same"
        file.write_bytes(as_it_was)
        replant_json("restore", image, "--detach")
