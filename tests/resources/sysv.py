"""What the tests of System V IPC have in common: a program for each sort, by the kernel's name for it."""

from __future__ import annotations

import ctypes
from pathlib import Path

from live.command import replant_json
from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, roundtrip

HERE = Path(__file__).parent
IPC_RMID = 0

libc = ctypes.CDLL(None, use_errno=True)
REMOVE = {
    "msg": lambda number: libc.msgctl(number, IPC_RMID, None),
    "sem": lambda number: libc.semctl(number, 0, IPC_RMID, 0),
    "shm": lambda number: libc.shmctl(number, IPC_RMID, None),
}


def start(sort: str, tmp_path: Path) -> Program:
    """The program that has objects of a sort, in a folder of its own."""
    folder = tmp_path / "tree"
    folder.mkdir()
    program = Program.start([str(compiled(HERE / f"sysv_{sort}.c", folder))], folder)
    program.until_ready()
    return program


def goes_on(sort: str, mode: Mode, tmp_path: Path) -> None:
    with start(sort, tmp_path) as program:
        program.ask()
        roundtrip(program, program.ask, mode)


def comes_back(sort: str, tmp_path: Path) -> None:
    """Nothing of it is left, as on another host."""
    with start(sort, tmp_path) as program:
        image = tmp_path / "image"
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        for line in Path(f"/proc/sysvipc/{sort}").read_text().splitlines()[1:]:
            REMOVE[sort](int(line.split()[1]))
        replant_json("restore", image, "--detach")
        program.ask()
