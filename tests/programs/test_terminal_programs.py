"""Programs that live in terminals are uprooted and replanted, twice in a row, with what is on their screens."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from live import wait
from live.cases import needs
from live.program import Program
from live.roundtrip import roundtrip

HERE = Path(__file__).parent

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(120)]


class Tmux:
    """A tmux server with one window, and its user."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._command = [needs("tmux"), "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._environment = {**os.environ, "TERM": "xterm", "HISTFILE": "", "SHELL": "/bin/bash"}
        self._folder = folder
        self.does("new-session", "-d", "-x", "80", "-y", "24", *words)
        self.program = Program(folder, int(self.does("display-message", "-p", "#{pid}")))

    def does(self, *words: str) -> str:
        """What a command to the server prints."""
        done = subprocess.run(
            [*self._command, *words], env=self._environment, cwd=self._folder, capture_output=True, text=True,
            timeout=60, check=True,
        )  # fmt: skip
        return done.stdout

    def types(self, *keys: str) -> None:
        """Press these keys, named as in send-keys."""
        self.does("send-keys", *keys)

    def sees(self, words: str) -> str:
        """Wait until the screen shows ``words``; all of it."""
        screen = ""

        def shown() -> bool:
            nonlocal screen
            screen = self.does("capture-pane", "-p")
            return words in screen

        try:
            wait.until(shown, words, limit=60)
        except TimeoutError:
            raise AssertionError(f"{words!r} is not on the screen:\n{screen}") from None
        return screen

    def attaches(self, words: str) -> None:
        """A client comes with a terminal of its own, sees ``words``, and goes."""
        pid, master = pty.fork()
        if pid == 0:
            os.execve(self._command[0], [*self._command, "attach"], self._environment)
        seen = ""
        while words not in seen:
            seen += os.read(master, 65536).decode(errors="replace")
        self.does("detach-client")
        os.waitpid(pid, 0)
        os.close(master)

    def goes_on(self, check: Callable[[], None]) -> None:
        """Twice; the screen stays what it was."""

        def same_screen() -> None:
            assert self.does("capture-pane", "-p") == self._screen
            check()
            self._screen = self.does("capture-pane", "-p")

        check()
        self._screen = self.does("capture-pane", "-p")
        with self.program:
            roundtrip(self.program, same_screen, moving=("anon", "mapping"))


def test_bash_in_tmux(tmp_path: Path) -> None:
    tmux = Tmux(tmp_path, "bash --norc --noprofile")
    tmux.sees("bash-")
    tmux.types("echo begun; cat", "Enter")
    tmux.sees("\nbegun")
    tmux.types("one", "Enter")
    tmux.sees("one\none")
    tmux.types("C-z")
    tmux.sees("Stopped")
    turn = 0

    def check() -> None:
        nonlocal turn
        turn += 1
        tmux.types(f"clear; jobs; echo turn-$(({turn} + 1000))", "Enter")
        screen = tmux.sees(f"turn-{turn + 1000}")
        assert screen.count("Stopped") == 1
        tmux.types("fg", "Enter")
        tmux.sees(" fg\ncat")
        tmux.types(f"line {turn}", "Enter")
        tmux.sees(f"line {turn}\nline {turn}")  # typed, and from cat
        tmux.types("C-z")
        wait.until(lambda: tmux.does("capture-pane", "-p").count("Stopped") == 2, "it stops again")
        tmux.attaches(f"turn-{turn + 1000}")

    tmux.goes_on(check)


def test_vim_in_tmux(tmp_path: Path) -> None:
    """Its buffer, its undo history and a register; it writes the file in the end."""
    tmux = Tmux(tmp_path, needs("vim"), "-u", "NONE", "-n", "text")
    tmux.sees("[New File]")
    tmux.types("i", "first line", "Escape", "yy")
    turn = 0

    def check() -> None:
        nonlocal turn
        turn += 1
        tmux.types("G", "p", "A", f" {turn}", "Escape")
        tmux.sees("".join(f"first line {n}\n" for n in range(1, turn + 1)))
        tmux.types("A", " undone", "Escape", "u")
        tmux.types(f":w! out{turn}", "Enter")
        tmux.sees(f'"out{turn}"')
        written = tmp_path / f"out{turn}"
        wait.until(lambda: written.exists() and written.read_text().count("\n") == turn + 1, f"{written} is written")
        tmux.attaches("first line")

    tmux.goes_on(check)


def test_ipython_in_tmux(tmp_path: Path) -> None:
    """Its variables, its history and its prompt."""
    pytest.importorskip("IPython")
    (tmp_path / "ipython").mkdir()
    words = ("--no-banner", f"--ipython-dir={tmp_path / 'ipython'}", "--HistoryManager.enabled=False")
    tmux = Tmux(tmp_path, sys.executable, "-m", "IPython", *words)
    tmux.sees("In [1]:")
    tmux.types("value = 20", "Enter")
    tmux.sees("In [2]:")
    turn = 1

    def check() -> None:
        nonlocal turn
        turn += 1
        tmux.types("value += 1; value", "Enter")
        tmux.sees(f"Out[{turn}]: {19 + turn}")
        tmux.sees(f"In [{turn + 1}]:")
        tmux.attaches(f"{19 + turn}")

    tmux.goes_on(check)


SPAWN = "import pty, sys; pty.spawn(sys.argv[1:])"


@pytest.mark.parametrize("how", ["script", "pty.spawn"])
def test_a_shell_below(how: str, tmp_path: Path) -> None:
    """What keeps a shell's terminal is itself without one: its input is a FIFO, its output a file."""
    os.mkfifo(tmp_path / "keys")
    shell = ["bash", "--norc", "--noprofile", "-i"]
    words = [needs("script"), "-qf", "-c", " ".join(shell), "typescript"]
    words = words if how == "script" else [sys.executable, "-c", SPAWN, *shell]
    keys = os.open(tmp_path / "keys", os.O_RDWR)
    with open(tmp_path / "out", "ab") as out:
        root = subprocess.Popen(words, stdin=keys, stdout=out, stderr=out, cwd=tmp_path, start_new_session=True)
    root.returncode = 0
    program, turn = Program(tmp_path, root.pid), 0

    def check() -> None:
        nonlocal turn
        turn += 1
        os.write(keys, b"value=$((value + 1)); jobs; echo it is $value, $(tty)\n")
        wait.until(lambda: f"it is {turn}, /dev/pts/0" in program.output(), "the shell's answer")
        assert program.output().count("Running") == 2 * (turn - 1), program.output()

    with program:
        check()
        os.write(keys, b"sleep 1000 & sleep 1001 &\n")
        roundtrip(program, check, moving=("anon", "mapping"))
    os.close(keys)
