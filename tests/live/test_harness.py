"""The harness itself: a test in namespaces passes, fails, skips and cleans up as one outside would."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from live import wait
from live.namespace import run_isolated
from live.program import Program, tree

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@needs_root
def test_a_body_has_pids_and_a_network_of_its_own() -> None:
    def body() -> None:
        assert os.getpid() == 2
        assert (os.getsid(0), os.getpgid(1)) == (2, 1)
        assert sorted(int(n) for n in os.listdir("/proc") if n.isdecimal()) == [1, 2]
        with socket.create_server(("127.0.0.1", 80)):
            pass

    run_isolated(body)


@needs_root
def test_a_failure_comes_out_with_its_words() -> None:
    def body() -> None:
        assert 1 + 1 == 3, "arithmetic"

    with pytest.raises(pytest.fail.Exception, match="AssertionError: arithmetic"):
        run_isolated(body)


@needs_root
def test_a_skip_comes_out_as_one() -> None:
    with pytest.raises(pytest.skip.Exception, match="not today"):
        run_isolated(lambda: pytest.skip("not today"))


@needs_root
def test_a_body_that_is_killed_has_failed() -> None:
    with pytest.raises(pytest.fail.Exception, match="was killed"):
        run_isolated(lambda: os.kill(os.getpid(), signal.SIGKILL))


@needs_root
def test_nothing_outlives_a_body(tmp_path: Path) -> None:
    """A daemon that nobody stopped holds the write end of a FIFO: when the reader sees its end, the daemon is gone."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def body() -> None:
        subprocess.Popen(["sh", "-c", f"exec 5>{fifo}; echo up >&5; exec sleep 1000"], start_new_session=True)
        wait.until(lambda: fifo_says(reader) == b"up\n", "the daemon is up")

    run_isolated(body)
    os.set_blocking(reader, True)
    assert os.read(reader, 10) == b""
    os.close(reader)


def fifo_says(reader: int) -> bytes:
    try:
        return os.read(reader, 10)
    except BlockingIOError:
        return b""


@pytest.mark.isolated
def test_fixtures_reach_an_isolated_test(tmp_path: Path) -> None:
    (tmp_path / "made inside").touch()
    assert os.getpid() == 2


@pytest.mark.isolated
def test_a_program_that_dies_is_no_timeout(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "raise SystemExit('no luck')"]
    with Program.start(argv, tmp_path) as program, pytest.raises(AssertionError, match="no luck"):
        program.until_ready()


@pytest.mark.isolated
def test_a_tree_is_everything_below_and_beside(tmp_path: Path) -> None:
    script = "sleep 1000 & (sleep 1000 &) ; setsid sleep 1000 & wait"
    with Program.start(["sh", "-c", script], tmp_path) as program:
        wait.until(lambda: len(tree(program.root)) == 4, "the shell and three sleepers")
        everybody = tree(program.root)
        assert everybody[0] == program.root
    assert not any(os.path.exists(f"/proc/{pid}") for pid in everybody)


@pytest.mark.isolated
def test_a_file_that_was_there_before_the_watch(tmp_path: Path) -> None:
    (tmp_path / "verdict").write_text("ok")
    assert wait.file_appears(tmp_path / "verdict", os.getpid()) == "ok"
    with pytest.raises(TimeoutError):
        wait.file_appears(tmp_path / "never", os.getpid(), limit=0.05)
