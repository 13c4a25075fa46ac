"""Unix sockets that reach out of the tree, or whose state nobody can see: refused by name, or as the user chooses."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import pytest

from live import stories, wait
from live.command import replant_json
from live.program import Program
from live.roundtrip import MODES, roundtrip

PROGRAM = stories.PROGRAMS / "unix_outside.py"
KINDS = {"stream": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}

pytestmark = pytest.mark.isolated


class Server:
    """Answers everything it is sent, in threads of the test."""

    def __init__(self, kind: str, path: Path) -> None:
        self.connections = 0
        self._socket = socket.socket(socket.AF_UNIX, KINDS[kind])
        self._socket.bind(str(path))
        if kind != "dgram":
            self._socket.listen()
        self._start(self._datagrams if kind == "dgram" else self._accept)

    def _start(self, act: object, *words: object) -> None:
        threading.Thread(target=act, args=words, daemon=True).start()  # type: ignore[arg-type]

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            self.connections += 1
            self._start(self._answer, connection)

    def _answer(self, connection: socket.socket) -> None:
        while connection.recv(100):
            connection.send(b"answer")

    def _datagrams(self) -> None:
        while True:
            _, sender = self._socket.recvfrom(100)
            self._socket.sendto(b"answer", sender)


def started(folder: Path, *words: object, **environment: str) -> Program:
    folder.mkdir()
    argv = [sys.executable, str(PROGRAM), *map(str, words)]
    program = Program.start(argv, folder, {"PYTHONPATH": str(stories.PROGRAMS), **environment})
    program.until_ready()
    return program


def refused(program: Program, folder: Path, code: str) -> None:
    """The dump says why, with the process, and nothing has happened."""
    answer = replant_json("dump", program.root, "-o", folder / "image", expect=1)
    found = {(b["code"], b["pid"]) for b in answer["blockers"]}
    assert (code, program.root) in found, answer
    assert not (folder / "image").exists()
    program.ask()


@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_outside_is_refused(kind: str, tmp_path: Path) -> None:
    Server(kind, tmp_path / "server")
    with started(tmp_path / "tree", kind, tmp_path / "server") as program:
        program.ask()
        refused(program, tmp_path, "outside")


@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_outside_is_connected_to_again(kind: str, tmp_path: Path) -> None:
    server = Server(kind, tmp_path / "server")
    with started(tmp_path / "tree", kind, tmp_path / "server") as program:
        program.ask()
        roundtrip(program, program.ask, times=2, options=("--peers", "reconnect"), moving=stories.MEMORY)
        if kind != "dgram":
            wait.until(lambda: server.connections == 3, "each restore has connected once")


def test_a_peer_outside_is_closed_on_request(tmp_path: Path) -> None:
    Server("stream", tmp_path / "server")
    with started(tmp_path / "tree", "stream", tmp_path / "server", CLOSED="yes") as program:
        roundtrip(program, program.ask, times=1, options=("--peers", "close"), moving=stories.MEMORY)


def test_a_connection_that_waits_outside_is_refused(tmp_path: Path) -> None:
    """Nobody has accepted it, so it has no peer yet: it must not be taken for one that was closed."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "server"))
        listener.listen()
        with started(tmp_path / "tree", "stream", tmp_path / "server") as program:
            answer = replant_json("dump", program.root, "-o", tmp_path / "image", expect=1)
            assert [b["code"] for b in answer["blockers"]] == ["outside"]
            connection, _ = listener.accept()
            threading.Thread(target=lambda: connection.send(b"answer")).start()
            program.ask()


@pytest.mark.parametrize("what", ["data", "closed"])
def test_connections_that_wait_are_refused(what: str, tmp_path: Path) -> None:
    with started(tmp_path / "tree", what, tmp_path / "listener") as program:
        refused(program, tmp_path, "pending")


@pytest.mark.parametrize("what", ["data", "closed"])
def test_connections_that_wait_are_left_out_on_request(what: str, tmp_path: Path) -> None:
    with started(tmp_path / "tree", what, tmp_path / "listener", SKIPPED="yes") as program:
        roundtrip(program, program.ask, MODES["plain"], 1, ("--pending", "skip"), stories.MEMORY)
