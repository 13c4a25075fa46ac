"""Uproot a small process tree before your eyes, and plant it again."""

from __future__ import annotations

import os
import sys
import tempfile
import time

from replant.abi.libc import syscall
from replant.abi.x86_64 import prctl
from replant.cli.options import Command, parse
from replant.errors import ReplantError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from replant.flows.dump import DumpReport
    from replant.flows.restore import RestoreReport

COMMAND = Command(
    "demo",
    "Start a small process tree, dump it, kill it, restore it, and see that it goes on as if nothing had been.",
    text="The tree is a shell, a Python with threads that counts, and a loop that reads the numbers from a pipe.\n"
    "Needs nothing but this package and the rights to trace; leaves nothing behind.",
)

_SHELL = '"$0" -I -S "$1" | while read -r line; do echo "$line" >>"$2"; done'
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_PATIENCE = 5.0  # seconds


class Line:
    """A line that the tree has written: its secret word, the number, what its threads have counted to."""

    __slots__ = ("counts", "number", "word")

    def __init__(self, text: str) -> None:
        self.word, number, *counts = text.split()
        self.number = int(number)
        self.counts = [int(c) for c in counts]


class Garden:
    """A folder and the tree that grows in it; both are gone when it is left."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="replant-demo-")
        self.image = f"{self.folder}/image"
        self._counted = f"{self.folder}/counted"
        self.root = 0

    def __enter__(self) -> Self:
        # The tree becomes ours again after the restore, and dead tasks are reaped at once: their pids are free.
        syscall(prctl, _SUBREAPER, 1)
        return self

    def __exit__(self, *_: object) -> None:
        import shutil

        for pid in self.pids():
            _kill(pid)
        self.reap()
        syscall(prctl, _SUBREAPER, 0)
        shutil.rmtree(self.folder)

    def plant(self) -> None:
        """Start the tree, in a session of its own, its output in the folder."""
        from replant.cli import demo_program

        words = ["/bin/sh", "-c", _SHELL, sys.executable, demo_program.__file__, self._counted]
        log = f"{self.folder}/log"
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            # A descriptor that leads out of the tree would be a reason to refuse it.
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2),
        ]
        self.root = os.posix_spawn(words[0], words, os.environ, file_actions=actions, setsid=True)

    def pids(self) -> list[int]:
        """The processes of the tree: those of its session."""
        found = []
        for name in filter(str.isdecimal, os.listdir("/proc")):
            try:
                if os.getsid(int(name)) == self.root:
                    found.append(int(name))
            except ProcessLookupError:
                continue
        return sorted(found)

    def reap(self) -> None:
        """Wait for all that have ended; no child of ours remains."""
        try:
            while True:
                os.waitpid(-1, 0)
        except ChildProcessError:
            return

    def lines(self) -> list[Line]:
        """What the tree has written so far; a line that is being written does not count."""
        try:
            with open(self._counted) as file:
                text = file.read()
        except FileNotFoundError:
            return []
        return [Line(row) for row in text[: text.rfind("\n") + 1].splitlines()]

    def grown_to(self, number: int) -> list[Line]:
        """Wait until it has written ``number`` lines. :raises ReplantError: it does not."""
        deadline = time.monotonic() + _PATIENCE
        while len(found := self.lines()) < number:
            if time.monotonic() > deadline:
                raise ReplantError(f"the tree does not go on: {len(found)} lines, not {number}", code="demo-failed")
            time.sleep(0.005)
        return found


def main(argv: Sequence[str]) -> int:
    """``replant demo``: 0 when the tree went on."""
    words = parse(COMMAND, argv)
    shown = words.flag("json")
    tell: Callable[[str], object] = (lambda _: None) if shown else _print
    with Garden() as garden:
        answer = _tour(garden, tell)
    if shown:
        from replant.cli.output import document

        document(answer)
    return 0


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _tour(garden: Garden, tell: Callable[[str], object]) -> dict[str, object]:
    garden.plant()
    garden.grown_to(20)
    pids = garden.pids()
    tell(
        f"A tree grows: {_names(pids)}.\nThe shell's loop reads the numbers that Python's threads count, over a pipe.\n"
    )
    dumped = _uproot(garden, tell)
    before = garden.lines()
    tell(f"  The processes are gone; the last number was {before[-1].number}.\n")
    restored = _replant(garden, tell)
    after = garden.grown_to(len(before) + 20)
    _verify(garden, pids, before, after)
    tell(f"  It goes on: {after[-1].number} by now. The same pids, the same secret word in memory ({after[-1].word}),")
    tell("  every thread counts, no number is missing and none came twice.\n\nreplant works here.")
    return {
        "ok": True,
        "root_pid": garden.root,
        "tasks": dumped.tasks,
        "threads": dumped.threads,
        "frozen_ms": dumped.frozen_ms,
        "dump_ms": dumped.total_ms,
        "restore_ms": restored.total_ms,
        "number_before": before[-1].number,
        "number_after": after[-1].number,
    }


def _uproot(garden: Garden, tell: Callable[[str], object]) -> DumpReport:
    from replant.cli.output import count, size
    from replant.flows.dump import dump

    tell(f"$ replant dump {garden.root} -o {garden.image} --kill")
    report = dump(garden.root, garden.image, kill=True)
    garden.reap()
    what = f"{count(report.tasks, 'task')}, {count(report.threads, 'thread')}, {size(report.bytes_written)}"
    tell(f"  {what}; {report.total_ms:.0f} ms, stopped for {report.frozen_ms:.1f} ms.")
    return report


def _replant(garden: Garden, tell: Callable[[str], object]) -> RestoreReport:
    from replant.flows.restore import restore

    tell(f"$ replant restore {garden.image} --detach")
    report = restore(garden.image, detach=True)
    tell(f"  {report.total_ms:.0f} ms.")
    return report


def _names(pids: Sequence[int]) -> str:
    return ", ".join(f"{pid} {_comm(pid)}" for pid in pids)


def _comm(pid: int) -> str:
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()


def _verify(garden: Garden, pids: list[int], before: list[Line], after: list[Line]) -> None:
    """See that it is the same tree, and that nothing was lost or done twice. :raises ReplantError: it is not so."""
    wrong = []
    if garden.pids() != pids:
        wrong.append(f"the pids were {pids} and are {garden.pids()}")
    if [line.number for line in after] != list(range(1, len(after) + 1)):
        wrong.append("numbers are missing or came twice")
    if {line.word for line in after} != {before[0].word}:
        wrong.append("its memory is not the same")
    if any(now <= then for now, then in zip(after[-1].counts, before[-1].counts, strict=True)):
        wrong.append("a thread stands still")
    if wrong:
        raise ReplantError(f"the restored tree is not what it was: {'; '.join(wrong)}", code="demo-failed")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return
