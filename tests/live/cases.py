"""Ways to start a real program and to ask it how it is: by its own verdict, or as a client of a server would."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from live import wait
from live.program import Program

PROGRAMS = Path(__file__).parents[1] / "programs"

Case = tuple[Program, Callable[[], None]]


def self_checking(argv: list[str], folder: Path) -> Case:
    """A program that says ``ready`` and gives its own verdict."""
    program = Program.start(argv, folder, {"PYTHONPATH": str(PROGRAMS)})
    program.until_ready()
    program.ask()
    return program, program.ask


def needs(program: str) -> str:
    """The path of a real program; the test command installs it."""
    found = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
    if not found:
        pytest.skip(f"{program} is not installed")
    return found


def get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Connection": "close"})
    body = connection.getresponse().read()
    connection.close()
    return body


def listening(program: Program, port: int) -> None:
    """Wait until somebody listens on ``port``."""

    def accepts() -> bool:
        assert Path(f"/proc/{program.root}").exists(), program.output()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    wait.until(accepts, f"port {port}: {program.output()}")
    only_listening(program)


def only_listening(program: Program) -> None:
    """Wait until the program has closed the connections that its clients have closed."""

    def quiet() -> bool:
        rows = Path(f"/proc/{program.root}/net/tcp").read_text().splitlines()[1:]
        return all(row.split()[3] in ("0A", "06") for row in rows)  # LISTEN, TIME_WAIT

    wait.until(quiet, "connections are closed")
