"""Real programs are uprooted and replanted, twice in a row, and do not notice.

A case starts its program and says how to check it; most check themselves (`Program.ask`), servers are asked as a
client would.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from live import wait
from live.cases import Case, get, listening, needs, only_listening, self_checking
from live.compile import compiled
from live.program import Program, tree
from live.roundtrip import Mode, every_mode, roundtrip

HERE = Path(__file__).parent

pytestmark = pytest.mark.isolated

OPTIONS = {"sqlite": ("--locks", "keep")}
#: timers of the one ring, the other collects its garbage
MOVING = {"registers": ("pending",), "node": ("anon", "mapping", "mm")}


def python(name: str, folder: Path, *words: str) -> Case:
    return self_checking([sys.executable, str(HERE / name), *words], folder)


def c(name: str, folder: Path) -> Case:
    return self_checking([str(compiled(HERE / name, folder))], folder)


def redis(folder: Path) -> Case:
    """A redis server that keeps what it was told, and is told more."""
    words = ["--port", "7001", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    program = Program.start([needs("redis-server"), *words], folder)
    listening(program, 7001)
    told = 0

    def tell(*words: str) -> bytes:
        with socket.create_connection(("127.0.0.1", 7001), timeout=60) as s:
            s.sendall((" ".join(words) + "\r\nQUIT\r\n").encode())
            answer = b"".join(iter(lambda: s.recv(4096), b""))
        only_listening(program)
        return answer

    def check() -> None:
        nonlocal told
        for n in range(told):
            assert f"value-{n}".encode() in tell("GET", f"key-{n}")
        tell("SET", f"key-{told}", f"value-{told}")
        told += 1
        assert b":1" in tell("LPUSH", f"list-{told}", "x")

    check()
    check()
    return program, check


def nginx(folder: Path) -> Case:
    """nginx with two workers; the file that it serves changes between checks."""
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 2; pid {folder}/pid; error_log {folder}/error.log; user root;\n"
        "events { worker_connections 64; }\n"
        f"http {{ access_log {folder}/access.log; keepalive_timeout 0;\n"
        + "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        + f"server {{ listen 127.0.0.1:7002; root {folder}; }} }}\n"
    )
    words = ["-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    program = Program.start([needs("nginx"), *words], folder)
    listening(program, 7002)
    wait.until(lambda: len(tree(program.root)) == 3, "nginx has two workers")

    def check() -> None:
        for n in range(6):
            (folder / "page").write_text(f"page {n}")
            assert get(7002, "/page") == f"page {n}".encode()
        only_listening(program)

    check()
    return program, check


def node(folder: Path) -> Case:
    """A node server that counts its requests, hashes its memory and asks its worker thread."""
    program = Program.start([needs("node"), str(HERE / "node_server.js")], folder)
    program.until_ready()
    asked = 0

    def check() -> None:
        nonlocal asked
        last = 0
        for _ in range(3):
            asked += 1
            answer = json.loads(get(8081, f"/{asked}"))
            assert (answer["count"], answer["square"], answer["same"]) == (asked, asked * asked, True)
            assert answer["ticks"] >= last
            last = answer["ticks"]
        only_listening(program)

    check()
    return program, check


CASES: dict[str, Callable[[Path], Case]] = {
    "python-threads": lambda folder: python("python_threads.py", folder),
    "python-asyncio": lambda folder: python("python_asyncio.py", folder),
    "bash-jobs": lambda folder: self_checking(["bash", str(HERE / "job_control.sh")], folder),
    "redis": redis,
    "nginx": nginx,
    "sqlite": lambda folder: python("sqlite_transaction.py", folder),
    "node": node,
    "registers": lambda folder: c("registers.c", folder),
    "200-processes": lambda folder: python("pool.py", folder, "200"),
    "200-threads": lambda folder: c("threads.c", folder),
    "10000-mappings": lambda folder: c("mappings.c", folder),
}


@pytest.mark.parametrize("name", CASES)
def test_goes_on(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    program, check = CASES[name](folder)
    with program:
        roundtrip(program, check, times=2, options=OPTIONS.get(name, ()), moving=MOVING.get(name, ()))


@every_mode
@pytest.mark.parametrize("name", ["python-threads", "registers"])
def test_goes_on_in_every_mode(name: str, mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    program, check = CASES[name](folder)
    with program:
        roundtrip(program, check, mode, times=2, moving=MOVING.get(name, ()))


def test_a_job_of_somebody_elses_session(tmp_path: Path) -> None:
    """Session and group are the caller's, outside of the tree: after the restore those of whoever restored it."""
    folder = tmp_path / "tree"
    folder.mkdir()
    argv = [sys.executable, str(HERE / "pool.py"), "3"]
    with Program.start(argv, folder, {"PYTHONPATH": str(HERE)}, own_session=False) as program:
        program.until_ready()
        assert os.getsid(program.root) == os.getsid(0)
        roundtrip(program, program.ask, times=2)
        assert os.getsid(program.root) == os.getsid(0)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_checks_itself(case: Callable[[Path], Case], tmp_path: Path) -> None:
    """The program is right before anything is done to it, and stays so: else its verdicts mean nothing."""
    folder = tmp_path / "tree"
    folder.mkdir()
    program, check = case(folder)
    with program:
        for _ in range(3):
            check()
