"""sysv_sem: values, owners, who changed them last; one who waits; changes to undo; others who use a set."""

from __future__ import annotations

from pathlib import Path

import pytest
import sysv
from sysv import libc

from live.command import replant_json
from live.roundtrip import Mode, every_mode

KEY, SETVAL, IPC_RMID, UNDONE = 0x73656D73, 16, 0, 2

pytestmark = pytest.mark.isolated


@every_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    sysv.goes_on("sem", mode, tmp_path)


def test_it_comes_back_where_there_is_none(tmp_path: Path) -> None:
    sysv.comes_back("sem", tmp_path)


def test_outsiders_who_use_a_set(tmp_path: Path) -> None:
    with sysv.start("sem", tmp_path) as program:
        identifier, image = libc.semget(KEY, 0, 0), tmp_path / "image"
        libc.semctl(identifier, 2, SETVAL, 3)  # as it was, but it is we who have set it
        refused = replant_json("dump", program.root, "-o", image, "--kill", expect=1)
        (blocker,) = refused["blockers"]
        assert (blocker["code"], blocker["resource"]) == ("ipc-outside", f"semaphore set {identifier}")
        replant_json("dump", program.root, "-o", image, "--kill", "--ipc", "leave")
        program.reap()
        libc.semctl(identifier, 0, SETVAL, 8)
        replant_json("restore", image, "--detach")
        with pytest.raises(AssertionError, match="a value differs"):
            program.ask()
