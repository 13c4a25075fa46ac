"""sysv_sem: values, owners, who changed them last; one who waits; changes to undo; others who use a set."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from live.command import replant_json
from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, every_mode, roundtrip

HERE = Path(__file__).parent
libc = ctypes.CDLL(None, use_errno=True)
KEY, SETVAL, IPC_RMID, UNDONE = 0x73656D73, 16, 0, 2

pytestmark = pytest.mark.isolated


def start(tmp_path: Path) -> Program:
    folder = tmp_path / "tree"
    folder.mkdir()
    program = Program.start([str(compiled(HERE / "sysv_sem.c", folder))], folder)
    program.until_ready()
    return program


@every_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    with start(tmp_path) as program:
        program.ask()
        roundtrip(program, program.ask, mode)


def test_it_comes_back_where_there_is_none(tmp_path: Path) -> None:
    """Nothing of it is left, as on another host."""
    with start(tmp_path) as program:
        image = tmp_path / "image"
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        for line in Path("/proc/sysvipc/sem").read_text().splitlines()[1:]:
            libc.semctl(int(line.split()[1]), 0, IPC_RMID, 0)
        replant_json("restore", image, "--detach")
        program.ask()


def test_outsiders_who_use_a_set(tmp_path: Path) -> None:
    with start(tmp_path) as program:
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
