"""mqueue: messages by priority, limits, names and none, notification, one who waits; others who use a queue."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from live.command import replant_json
from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, every_mode, roundtrip
from replant.abi import x86_64
from replant.abi.libc import syscall

HERE = Path(__file__).parent

pytestmark = pytest.mark.isolated


def start(folder: Path) -> Program:
    program = Program.start([str(compiled(HERE / "mqueue.c", folder))], folder)
    program.until_ready()
    return program


@every_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    with start(folder) as program:
        program.ask()
        roundtrip(program, program.ask, mode)


def test_it_comes_back_where_there_is_none(tmp_path: Path) -> None:
    """Nothing of it is left, as on another host."""
    with start(tmp_path) as program:
        image = tmp_path / "image"
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        for name in (b"replant-named", b"replant-waited", b"replant-told"):
            syscall(x86_64.mq_unlink, name + b"\0")
        replant_json("restore", image, "--detach")
        program.ask()


def test_outsiders_who_have_it_open(tmp_path: Path) -> None:
    with start(tmp_path) as program:
        image = tmp_path / "image"
        fd = syscall(x86_64.mq_open, b"replant-named\0", os.O_RDWR | os.O_NONBLOCK, 0, 0)
        refused = replant_json("dump", program.root, "-o", image, "--kill", expect=1)["blockers"]
        assert {blocker["code"] for blocker in refused} == {"ipc-outside"}
        program.ask()
        replant_json("dump", program.root, "-o", image, "--kill", "--ipc", "leave")
        program.reap()
        syscall(x86_64.mq_timedreceive, fd, bytearray(8192), 8192, 0, 0)
        replant_json("restore", image, "--detach")
        with pytest.raises(AssertionError, match="a full queue takes another message"):
            program.ask()
        os.close(fd)


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    with start(tmp_path) as program:
        image = tmp_path / "image"
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        fd = syscall(x86_64.mq_open, b"replant-named\0", os.O_RDONLY, 0, 0)
        refused = replant_json("restore", image, "--detach", expect=1)["blockers"]
        assert {blocker["code"] for blocker in refused} == {"ipc-taken"}
        os.close(fd)
        replant_json("restore", image, "--detach")
        program.ask()
