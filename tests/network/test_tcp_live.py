"""TCP connections of real programs that are uprooted and replanted, peers inside and outside of the tree."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from live import wait
from live.command import replant_json
from live.program import Program
from live.roundtrip import Mode, every_mode, roundtrip
from replant.abi import x86_64
from replant.observe.sockets import TCP, Diag
from replant.resources.shared.packet_lock import Lock

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import scenes  # noqa: E402
from far import Far  # noqa: E402

HOSTS = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
every_scene = pytest.mark.parametrize("name", [scene.__name__ for scene in scenes.SCENES])
#: Neighbouring anonymous mappings that the kernel kept apart may be one afterwards; other tests are about memory.
MEMORY = ("anon", "mapping")

pytestmark = pytest.mark.isolated


@contextmanager
def program(folder: Path, name: str, *words: object) -> Iterator[Program]:
    folder.mkdir(exist_ok=True)
    argv = [sys.executable, str(HERE / name), *map(str, words)]
    with Program.start(argv, folder, {"PYTHONPATH": f"{HERE.parent / 'programs'}"}) as started:
        yield started


@contextmanager
def far_ends(folder: Path) -> Iterator[list[str]]:
    """A listener for each host, and threads that accept one connection each and are its far end."""
    with ExitStack() as stack:
        yield [stack.enter_context(far_end(folder, host)) for host in HOSTS]


@contextmanager
def far_end(folder: Path, host: str) -> Iterator[str]:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.bind((host, 0))
    listener.listen()
    port = listener.getsockname()[1]
    calls = folder / f"far{port}"
    calls.mkdir(parents=True)
    ends: list[Far] = []

    def run() -> None:
        accepted, _ = listener.accept()
        accepted.settimeout(scenes.LIMIT)
        ends.append(Far(calls, accepted))
        ends[0].run()

    threading.Thread(target=run, daemon=True).start()
    try:
        yield f"{host}={port}"
    finally:
        for end in ends:
            end.stop()
        listener.close()


def check(near: Program) -> None:
    """Ask it, and wait until it is at rest."""
    near.ask()
    waits = f"{x86_64.rt_sigtimedwait} "
    wait.until(lambda: Path(f"/proc/{near.root}/syscall").read_text().startswith(waits), "it waits for a signal")


def tables() -> list[str]:
    lock = Lock()
    try:
        return [table.name for table in lock.tables()]
    finally:
        lock.close()


@every_scene
def test_both_ends_inside(name: str, tmp_path: Path) -> None:
    with program(tmp_path / "tree", "ends.py", name, "inside", *HOSTS) as both:
        both.until_ready()
        roundtrip(both, lambda: check(both), times=2, moving=MEMORY)
        assert tables() == []


@every_scene
def test_far_ends_outside(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    with far_ends(folder) as hosts, program(folder, "ends.py", name, "outside", *hosts) as near:
        near.until_ready()
        roundtrip(near, lambda: check(near), times=2, moving=MEMORY)
        assert tables() == []


@every_mode
def test_in_every_mode(mode: Mode, tmp_path: Path) -> None:
    with program(tmp_path / "tree", "ends.py", "full_queues", "inside", *HOSTS) as both:
        both.until_ready()
        roundtrip(both, lambda: check(both), mode, times=1, moving=MEMORY)


@pytest.mark.parametrize("name", ["options", "filters", "unconnected", "raw", "ping", "datagrams"])
def test_sockets(name: str, tmp_path: Path) -> None:
    with program(tmp_path / "tree", "sockets.py", name) as one:
        one.until_ready()
        roundtrip(one, lambda: check(one), times=2, moving=MEMORY)


def test_a_socket_that_is_connecting(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    first = socket.create_connection(listener.getsockname())
    (folder / "port").write_text(str(listener.getsockname()[1]))
    with first, program(folder, "sockets.py", "connecting") as near:
        near.until_ready()
        roundtrip(near, lambda: check(near), times=2, moving=MEMORY)
        (folder / "accepting").touch()
        listener.settimeout(scenes.LIMIT)
        accepted = [listener.accept()[0] for _ in range(2)]
        near.ask()
        scenes.get(accepted[1], b"at last")


def test_at_another_address(tmp_path: Path) -> None:
    with program(tmp_path / "tree", "ends.py", "full_queues", "inside", *HOSTS) as both:
        both.until_ready()
        replant_json("dump", both.root, "-o", tmp_path / "image", "--kill")
        both.reap()
        words = ("--map-address", "127.0.0.1=127.0.0.2")
        replant_json("restore", tmp_path / "image", "--detach", *words)
        check(both)
        with Diag() as diag:
            ends = {end for s in diag.inet((TCP,)) if s.inode for end in (s.source[0], s.target[0])}
        assert ends == {"127.0.0.2", "::1", "::ffff:127.0.0.2"}


def test_an_address_that_is_none_of_this_host(tmp_path: Path) -> None:
    with program(tmp_path / "tree", "ends.py", "established", "inside", HOSTS[0]) as both:
        both.until_ready()
        replant_json("dump", both.root, "-o", tmp_path / "image", "--kill")
        both.reap()
        words = ("--map-address", "127.0.0.1=198.51.100.7")
        answer = replant_json("restore", tmp_path / "image", "--detach", *words, expect=1)
        assert {b["code"] for b in answer["blockers"]} == {"address"}
        replant_json("restore", tmp_path / "image", "--detach")
        check(both)
