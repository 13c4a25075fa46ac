"""sysv_msg: messages with types, in order; limits; one who waits; others who use a queue."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import pytest
import sysv
from sysv import libc

from live import wait
from live.command import replant, replant_json
from live.roundtrip import Mode, every_mode

KEY, IPC_RMID, IPC_NOWAIT = 0x6D736773, 0, 0o4000

pytestmark = pytest.mark.isolated


def waiting(identifier: int) -> int:
    rows = [line.split() for line in Path("/proc/sysvipc/msg").read_text().splitlines()]
    return next(int(row[4]) for row in rows if row[1] == str(identifier))


@every_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    sysv.goes_on("msg", mode, tmp_path)


def test_it_comes_back_where_there_is_none(tmp_path: Path) -> None:
    sysv.comes_back("msg", tmp_path)


def test_outsiders_who_use_a_queue(tmp_path: Path) -> None:
    with sysv.start("msg", tmp_path) as program:
        identifier, image = libc.msgget(KEY + 1, 0), tmp_path / "image"
        message = ctypes.create_string_buffer((9).to_bytes(8, "little") + b"outside", 15)
        assert libc.msgsnd(identifier, message, 7, IPC_NOWAIT) == 0
        wait.until(lambda: not waiting(identifier), "the child has received it")
        refused = replant_json("dump", program.root, "-o", image, "--kill", expect=1)
        (blocker,) = refused["blockers"]
        assert (blocker["code"], blocker["resource"]) == ("ipc-outside", f"message queue {identifier}")
        replant_json("dump", program.root, "-o", image, "--kill", "--ipc", "leave")
        program.reap()
        libc.msgctl(identifier, IPC_RMID, None)
        refused = json.loads(replant("restore", image, "--detach", "--json").stdout)
        assert [b["code"] for b in refused["blockers"]] == ["ipc-taken"]
