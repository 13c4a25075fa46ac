"""``replant ps`` as typed."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from replant.cli.main import main
from replant.observe import procfs
from replant.observe.facts import Task
from replant.observe.observer import Observer


@pytest.fixture
def family() -> Iterator[int]:
    """A shell with a child."""
    with subprocess.Popen(["bash", "-c", "sleep 100 & echo ready; wait"], stdout=-1, start_new_session=True) as shell:
        assert shell.stdout and shell.stdout.readline() == b"ready\n"
        yield shell.pid
        os.killpg(shell.pid, signal.SIGKILL)


def test_a_tree(family: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps", "--tree", str(family)]) == 0
    head, shell, child = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["PID", "PPID", "S", "UID"]
    assert shell.split()[0] == str(family) and child.split()[1] == str(family)
    resident = procfs.resident_kib(family)
    assert int(shell.split()[5]) == resident


def test_names_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    code = r"open('/proc/self/comm', 'wb').write(b'\x1b[2J\xff'); print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as child:
        assert child.stdout and child.stdout.readline() == b"ready\n"
        assert main(["ps", str(child.pid)]) == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out and "\\x1b[2J\\xff" in out
        child.kill()


@pytest.mark.parametrize("source", ["auto", "procfs"])
def test_json_has_every_fact(source: str, family: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps", str(family), "--json", "--fds", "--maps", "--source", source]) == 0
    answer = json.loads(capsys.readouterr().out)
    [task] = answer["tasks"]
    assert task.keys() == set(Task._fields) and task["pid"] == family
    assert answer["source"] in ("bpf", "procfs") and answer["vanished"] == answer["hidden"] == 0
    assert {m["path"] for m in answer["maps"]} >= {"[stack]", "[heap]", "[vdso]"}
    assert {f["fd"] for f in answer["files"]} == {int(n) for n in os.listdir(f"/proc/{family}/fd")}
    if answer["source"] == "procfs":
        assert task["subreaper"] is None


def test_lists(family: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps", "--fds", str(family)]) == 0
    assert any(line.split()[:2] == [str(family), "1"] for line in capsys.readouterr().out.splitlines())
    assert main(["ps", "--maps", str(family)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len([m for m in procfs.maps(family) if m.path != "[vsyscall]"])


def test_what_is_in_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import ctypes, os; libc = ctypes.CDLL(None);"
        "assert libc.syscall(425, 4, ctypes.create_string_buffer(120)) > 0;"
        "print('ready', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1) as child:
        assert child.stdout
        if child.stdout.readline() != b"ready\n":
            pytest.skip("no io_uring here")
        assert main(["ps", str(child.pid)]) == 0
        assert "io_uring" in capsys.readouterr().out
        child.kill()


def test_verify(family: int, bpf: Observer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps", "--verify", str(family)]) == 0
    assert capsys.readouterr().out.endswith("facts compared, 0 differ\n")
    assert main(["ps", "--verify", "--json", str(family)]) == 0
    assert json.loads(capsys.readouterr().out)["differences"] == []
    assert procfs.status(family).tracer_pid == 0 and procfs.stat(family).state in "SR"


@pytest.mark.parametrize("words", [["x"], ["--source", "telepathy"], ["--verify"], ["0"]])
def test_wrong_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps", *words]) == 2
    assert "try:" in capsys.readouterr().err


def test_a_tree_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(["true"]) as child:
        pass
    assert main(["ps", "--tree", str(child.pid)]) == 1
    assert str(child.pid) in capsys.readouterr().err
    assert main(["ps", str(child.pid)]) == 1
    assert "1 ended" in capsys.readouterr().err
    assert main(["ps", "--json", str(child.pid)]) == 1
    assert json.loads(capsys.readouterr().out)["vanished"] == 1


def test_watch_until_interrupted(family: int, zoo: Callable[[int], int]) -> None:
    pytest.importorskip("rich")
    controller, terminal = pty.openpty()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    code = "from replant.cli.main import run; run()"
    command = [sys.executable, "-c", code, "ps", "--watch", str(family)]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=env) as watch:
        os.close(terminal)
        seen = b""
        deadline = time.monotonic() + 60
        while b"bash" not in seen and time.monotonic() < deadline:
            seen += os.read(controller, 65536)
        watch.send_signal(signal.SIGINT)
        assert watch.wait(30) == 130
    os.close(controller)
    assert b"bash" in seen
