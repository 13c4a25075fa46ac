"""Staying with a tree in the foreground: its status becomes ours, its signals are passed on, its orphans are reaped."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from live import wait
from live.roundtrip import state
from replant.cli.foreground import RELAYED, Foreground

pytestmark = pytest.mark.isolated


def stay_with(program: Callable[[], object], report: int = -1, own_group: bool = False, init: bool = False) -> int:
    """In a process of its own: a root that is no child at first, as after a restore; the pid of the process.

    ``init``: it will never be one, but that of a child which ends as it ends.
    """
    stayer = os.fork()
    if stayer:
        return stayer
    try:
        with Foreground() as stay:
            read_end, write_end = os.pipe()
            if os.fork() == 0:
                root = os.fork()
                if root == 0:
                    signal.signal(signal.SIGINT, signal.SIG_DFL)
                    signal.pthread_sigmask(signal.SIG_SETMASK, [])
                    program()
                    os._exit(0)
                if own_group:
                    os.setpgid(root, root)
                os.write(write_end, root.to_bytes(4))
                os._exit(status_of(root) if init else 0)
            root = int.from_bytes(os.read(read_end, 4))
            if not init:
                wait.until(lambda: parent_of(root) == os.getpid(), "the root is our child")
            if report >= 0:
                os.write(report, root.to_bytes(4))
            os._exit(stay.until_end(root, parent_of(root) if init else 0))
    finally:
        os._exit(99)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("code", [0, 1, 77])
def test_the_status_of_the_root(code: int) -> None:
    assert status_of(stay_with(lambda: os._exit(code))) == code


def test_a_signal_that_killed_the_root() -> None:
    assert status_of(stay_with(lambda: os.kill(os.getpid(), signal.SIGKILL))) == 128 + signal.SIGKILL


def test_the_root_may_be_dead_before_we_wait() -> None:
    def dead() -> None:
        os._exit(5)

    assert status_of(stay_with(dead)) == 5


@pytest.mark.parametrize("number", sorted(set(RELAYED) - {signal.SIGCONT, signal.SIGTSTP, signal.SIGWINCH}))
def test_signals_reach_the_root(number: int) -> None:
    read_end, write_end = os.pipe()
    stayer = stay_with(signal.pause, write_end)
    root = int.from_bytes(os.read(read_end, 4))
    os.kill(stayer, number)
    assert status_of(stayer) == 128 + number
    assert not os.path.exists(f"/proc/{root}")


def on_a_terminal(body: Callable[[int], int]) -> tuple[int, int]:
    """A session leader with a terminal, as a shell is, that runs ``body``; the terminal's master, and the pid."""
    master, slave = os.openpty()
    shell = os.fork()
    if shell == 0:
        try:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            os.dup2(slave, 0)
            os.close(master)
            os._exit(body(slave))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(98)
    os.close(slave)
    return master, shell


def reader() -> None:
    """A job: in a group of its own, it wants a line from the terminal."""
    line = os.read(0, 100)
    os._exit(7 if line == b"hello\n" else 8)


def test_the_terminal_is_lent_and_taken_back() -> None:
    def shell(terminal: int) -> int:
        code = status_of(stay_with(reader, own_group=True))
        assert os.tcgetpgrp(terminal) == os.getpgrp(), "the terminal was not taken back"
        return code

    master, pid = on_a_terminal(shell)
    os.write(master, b"hello\n")
    assert status_of(pid) == 7
    os.close(master)


@pytest.mark.parametrize("init", [False, True])
def test_a_stopped_job_stops_the_command_too(init: bool) -> None:
    read_end, write_end = os.pipe()

    def shell(terminal: int) -> int:
        stayer = stay_with(reader, own_group=True, init=init)
        _, status = os.waitpid(stayer, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert os.tcgetpgrp(terminal) == os.getpgrp(), "the shell has no terminal"
        os.write(write_end, b"stopped")
        os.kill(stayer, signal.SIGCONT)
        return status_of(stayer)

    master, pid = on_a_terminal(shell)
    os.close(write_end)
    foreground = wait_for_job(master)
    os.write(master, b"\x1a")  # ^Z
    assert os.read(read_end, 10) == b"stopped"
    wait.until(lambda: os.tcgetpgrp(master) == foreground, "it is in the foreground again")
    os.write(master, b"hello\n")
    assert status_of(pid) == 7
    os.close(master)


def wait_for_job(master: int) -> int:
    """Wait until a job, and not the leader of the session, is in the foreground of the terminal; its group.

    It may have wanted the terminal before it was lent, and be stopped (SIGTTIN) until it is continued, which would take
    away a SIGTSTP that comes before: so it has to sleep, in its read.
    """
    wait.until(lambda: (group := os.tcgetpgrp(master)) > 0 and os.getsid(group) != group, "the job has the terminal")
    group = os.tcgetpgrp(master)
    wait.until(lambda: state(group) == "S", "the job reads")
    return group


def test_orphans_are_reaped_meanwhile() -> None:
    read_end, write_end = os.pipe()

    def root() -> None:
        if os.fork() == 0:
            orphan = os.fork()
            if orphan == 0:
                os._exit(0)
            os.write(write_end, orphan.to_bytes(4))
            os._exit(0)
        os.wait()
        signal.pause()

    stayer = stay_with(root, write_end)
    first, second = (int.from_bytes(os.read(read_end, 4)) for _ in range(2))
    orphan = max(first, second)
    wait.until(lambda: not os.path.exists(f"/proc/{orphan}"), "the orphan is reaped")
    os.kill(stayer, signal.SIGTERM)
    assert status_of(stayer) == 128 + signal.SIGTERM
