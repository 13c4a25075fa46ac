"""The line of progress: drawn late, seldom, with the right figures, and taken away."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from replant.progress import Bar, line

GIB = 1 << 30


class Screen:
    def __init__(self) -> None:
        self.now = 100.0
        self.text: list[str] = []
        self.bar = Bar(self.text.append, lambda: self.now)

    def show(self, after: float, done: int, what: str = "saving") -> str:
        self.now += after
        self.text.clear()
        self.bar.show(what, done, 4 * GIB)
        return "".join(self.text)


def test_the_words() -> None:
    assert line("saving", GIB, 4 * GIB, 2) == "saving: 1.0 GiB of 4.0 GiB, 512 MiB/s, 6 s left"
    assert line("saving", 0, 100 << 20, 1) == "saving: 0 MiB of 100 MiB, 0 MiB/s"


def test_short_work_shows_nothing() -> None:
    screen = Screen()
    assert screen.show(0, 0) == screen.show(0.4, GIB) == screen.show(0, 4 * GIB) == ""


def test_it_is_drawn_seldom_and_taken_away() -> None:
    screen = Screen()
    screen.show(0, 0)
    assert screen.show(1, GIB) == "\r\x1b[Ksaving: 1.0 GiB of 4.0 GiB, 1.0 GiB/s, 3 s left"
    assert screen.show(0.05, GIB) == ""
    assert "2.0 GiB of" in screen.show(0.95, 2 * GIB)
    assert screen.show(0, 4 * GIB) == "\r\x1b[K"
    assert screen.show(0, 4 * GIB) == ""


def test_other_work_begins_anew() -> None:
    screen = Screen()
    screen.show(0, 0)
    screen.show(1, GIB)
    assert screen.show(1, 0, "compressing") == ""
    assert screen.show(1, GIB, "compressing").endswith("compressing: 1.0 GiB of 4.0 GiB, 1.0 GiB/s, 3 s left")


CODE = """
import sys
from replant.cli import main
from replant import progress
def work(argv):
    progress._PATIENCE = 0
    progress.show("working", 1, 2)
    return 0
sys.modules["replant.cli.show"] = type(sys)("replant.cli.show")
sys.modules["replant.cli.show"].main = work
sys.exit(main.main(["show"]))
"""


def test_only_a_terminal_has_it() -> None:
    argv = [sys.executable, "-c", CODE]
    assert subprocess.run(argv, capture_output=True, check=True, timeout=60).stderr == b""
    master, slave = pty.openpty()
    subprocess.run(argv, stderr=slave, check=True, timeout=60)
    os.close(slave)
    said = os.read(master, 1000).decode()
    assert "working: 0 MiB of 0 MiB" in said
    assert said.endswith("\r\x1b[K")
    os.close(master)
