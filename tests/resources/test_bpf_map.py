"""bpf_map: hashes and arrays come back with attributes and contents; others, and shared ones, are refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from live.command import replant_json
from live.program import Program
from live.roundtrip import Mode, every_privileged_mode, roundtrip
from replant.abi import x86_64
from replant.abi.libc import syscall

HERE = Path(__file__).parent

pytestmark = pytest.mark.isolated


def start(folder: Path) -> Program:
    paths = f"{HERE.parent / 'programs'}:{HERE.parents[1] / 'src'}"
    program = Program.start([sys.executable, str(HERE / "bpf_map.py")], folder, {"PYTHONPATH": paths})
    program.until_ready()
    return program


@every_privileged_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    with start(folder) as program:
        program.ask()
        roundtrip(program, program.ask, mode, moving=("anon", "mapping"))


def test_a_map_that_others_have(tmp_path: Path) -> None:
    with start(tmp_path) as program:
        pidfd = os.pidfd_open(program.root)
        links = {int(n): os.readlink(f"/proc/{program.root}/fd/{n}") for n in os.listdir(f"/proc/{program.root}/fd")}
        number = min(n for n, link in links.items() if link == "anon_inode:bpf-map")
        ours = syscall(x86_64.pidfd_getfd, pidfd, number, 0)
        (blocker,) = replant_json("dump", program.root, "-o", tmp_path / "image", "--kill", expect=1)["blockers"]
        assert (blocker["code"], blocker["resource"]) == ("kind-bpf_map", f"fd {number}")
        program.ask()
        os.close(ours)
        assert replant_json("check", program.root)["blockers"] == []
