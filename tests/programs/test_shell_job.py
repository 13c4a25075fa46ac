"""A job of an interactive shell is uprooted, and planted again from the same shell: it has the terminal as before."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from live.command import command, replant_json

HERE = Path(__file__).parent

pytestmark = pytest.mark.isolated


class Typist:
    """Somebody at a terminal with a shell on it: types, and waits for words to appear."""

    def __init__(self, folder: Path) -> None:
        self.master, slave = os.openpty()
        self.seen = ""
        environment = {**os.environ, "PS1": "$ ", "HISTFILE": "", "PATH": f"{folder}:{os.environ['PATH']}"}
        self.shell = subprocess.Popen(
            ["setsid", "-c", "bash", "--norc", "--noediting", "-i"],
            stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=environment,
        )  # fmt: skip
        os.close(slave)
        self.sees("$ ")

    def interrupts(self) -> None:
        """Press Ctrl-C, and Enter: Python on its way into read(2) sees the signal only when the call returns."""
        self.types("\x03\n")

    def types(self, text: str) -> None:
        """Press these keys."""
        os.write(self.master, text.encode())

    def sees(self, word: str, limit: float = 60) -> str:
        """Wait until ``word`` appears; all that has appeared up to it since the last time."""
        deadline = time.monotonic() + limit
        while word not in self.seen:
            if not select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"{word!r} does not appear in {self.seen!r}")
            self.seen += os.read(self.master, 65536).decode(errors="replace")
        before, _, self.seen = self.seen.partition(word)
        return before


def test_a_shell_is_given_another_terminal(tmp_path: Path) -> None:
    """A whole session, whose terminal is held by nobody of the tree: it gets one that controls nobody, and its jobs."""
    user = Typist(tmp_path)
    user.types("cat\n")
    user.types("one\n")
    user.sees("one")
    user.sees("one")
    replant_json("dump", user.shell.pid, "-o", tmp_path / "image", "--kill")
    master, slave = os.openpty()
    user.shell.wait()
    replant_json("restore", tmp_path / "image", "--detach", "--terminal", os.ttyname(slave))
    os.close(slave)
    os.close(user.master)
    user.master, user.seen = master, ""
    user.types("\x1a")
    user.sees("Stopped")
    user.sees("$ ")
    user.types("fg\n")
    user.sees("cat\r\n")
    user.types("\x04")
    user.sees("$ ")
    user.types("echo over\n")
    user.sees("over\r\nover")


def test_a_job_has_its_terminal_again(tmp_path: Path) -> None:
    script = tmp_path / "replant"
    script.write_text('#!/bin/sh\nexec "{}" {} "{}" "$@"\n'.format(*command()))
    script.chmod(0o755)
    user = Typist(tmp_path)
    user.types(f"{sys.executable} {HERE}/upper.py\n")
    user.sees("listening")
    user.types("one\n")
    user.sees("ONE")
    user.interrupts()
    user.sees("interrupt 1")
    for turn in range(2):
        job = os.tcgetpgrp(user.master)
        assert job != user.shell.pid
        root = job if turn == 0 else int((tmp_path / "pid").read_text())
        replant_json("dump", root, "-o", tmp_path / f"image{turn}", "--kill")
        user.sees("$ ")
        user.types(f"replant restore image{turn} --pidfile pid\n")
        user.types("two\n")
        user.sees("TWO")
        user.interrupts()  # reaches the job, not the command: it has the terminal
        user.sees(f"interrupt {turn + 2}")
    user.types("\x04")
    user.sees("$ ")
    user.types("echo status=$?\n")
    user.sees("status=3")
