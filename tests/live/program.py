"""A real program under test: it says ``ready``, checks itself when asked, and ends with the test.

The protocol is two files in the program's directory, so that nothing of it crosses the border of the tree: it writes
``ready`` once it is up, and after SIGUSR1 it writes its ``verdict``: ``ok``, or what is wrong.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import pytest

from live import wait


class Program:
    """A process tree by the pid of its root. Use as a context manager: the tree is killed at the end."""

    user: int | None = None  # whom programs run as, without capabilities; None: as we do

    def __init__(self, folder: Path, root: int) -> None:
        self.folder = folder
        self.root = root

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        own_session: bool = True,
    ) -> Self:
        """Start ``argv`` in ``folder``, its output into the file ``out``; as a daemon does it, in its own session.

        Skips the test if the program is not one that its user may run (an interpreter in root's home).
        """
        who = {} if cls.user is None else {"user": cls.user, "group": cls.user, "extra_groups": []}
        if cls.user is not None:
            os.chown(folder, cls.user, cls.user)
        with open(folder / "out", "ab") as out:
            try:
                process = subprocess.Popen(
                    argv,
                    cwd=folder,
                    env={**os.environ, **(environment or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=own_session,
                    **who,
                )
            except PermissionError as e:
                pytest.skip(f"as user {cls.user}: {e}")
        process.returncode = 0  # reaping is `reap`'s work: after a restore the root is a child of init
        return cls(folder, process.pid)

    def until_ready(self) -> None:
        """Wait for the file ``ready``."""
        try:
            wait.file_appears(self.folder / "ready", self.root)
        except AssertionError as died:
            raise AssertionError(f"{died}: {self.output()}") from None

    def output(self) -> str:
        """What the program has printed."""
        return (self.folder / "out").read_text(errors="replace")

    def ask(self) -> None:
        """Have the program check itself. Fails with its own words."""
        (self.folder / "verdict").unlink(missing_ok=True)
        os.kill(self.root, signal.SIGUSR1)
        verdict = wait.file_appears(self.folder / "verdict", self.root).strip()
        assert verdict == "ok", f"{verdict}\n{self.output()}"

    def reap(self) -> None:
        """Wait until the root has ended, and take it if it is our child."""
        wait.end_of(self.root)
        try:
            os.waitpid(self.root, 0)
        except ChildProcessError:
            pass  # init has it

    def kill(self) -> None:
        """End the whole tree; its pids are free afterwards."""
        pids = tree(self.root)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.reap()
        wait.until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), f"{pids} are gone")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def tree(root: int) -> list[int]:
    """The pids of ``root``, its descendants, and the rest of its session, children after their parents."""
    parents, sessions = {}, {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(name)], sessions[int(name)] = int(fields[1]), int(fields[3])
    found = {root: None} | {pid: None for pid, sid in sessions.items() if sid == root}
    while more := [pid for pid, parent in parents.items() if parent in found and pid not in found]:
        found |= dict.fromkeys(more)
    return list(found)
