"""Processes that share descriptor tables, or current directory, root and umask, share them again; nobody else does."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from live.command import replant_json
from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, every_mode, roundtrip
from replant.abi import x86_64
from replant.abi.libc import syscall
from replant.errors import Blocker
from replant.flows import shares
from replant.model.tree import Model, Task

pytestmark = pytest.mark.isolated


@every_mode
def test_sharers_share(tmp_path: Path, mode: Mode) -> None:
    program_file = compiled(Path(__file__).with_name("sharing.c"), tmp_path)
    folder = tmp_path / "tree"
    folder.mkdir()
    with Program.start([str(program_file)], folder) as program:
        program.until_ready()
        program.ask()
        roundtrip(program, program.ask, mode)


def test_sharing_with_somebody_outside_is_refused(tmp_path: Path) -> None:
    for flag in (shares.CLONE_FILES, shares.CLONE_FS):
        pid = syscall(x86_64.clone, flag | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            while True:
                signal.pause()
        try:
            answer = replant_json("dump", pid, "-o", tmp_path / "image", expect=1)
            assert "shared" in {blocker["code"] for blocker in answer["blockers"]}
            os.kill(pid, 0)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def tree(*rows: tuple[int, int]) -> Model:
    """Processes 10, 11, … with these ``files_of`` and ``fs_of``."""
    tasks = [
        Task(10 + i, 0, 10, 10, "R", 0, 17, False, 0, False, "", (10 + i,), 0, -1, 0, files_of=files, fs_of=fs)
        for i, (files, fs) in enumerate(rows)
    ]
    return Model(10, 0, tuple(tasks), (), (), (), ())


def test_whoever_is_between_sharers_is_born_sharing_and_leaves() -> None:
    births = shares.Births(tree((0, 0), (0, 0), (10, 0)), [(0, "fork", 10), (10, "fork", 11), (11, "fork", 12)])
    assert births.flags == {11: shares.CLONE_FILES, 12: shares.CLONE_FILES}
    assert births.leaving == {11: shares.CLONE_FILES}


def test_two_tables_on_one_way_are_refused() -> None:
    """As by CLONE_PARENT: 12 and 13 are children of 10, which shares with 11."""
    ops = [(0, "fork", 10), (10, "fork", 11), (10, "fork", 12), (10, "fork", 13)]
    with pytest.raises(Blocker, match="others share across"):
        shares.Births(tree((0, 0), (10, 0), (0, 0), (12, 0)), ops)
