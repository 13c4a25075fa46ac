"""Groups for tests, and a program to put into them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from live import wait
from live.program import Program, tree
from replant.resources.shared import cgroups

# A process with a thread and a child. Each tells its groups, and whether it can still do something there.
PROGRAM = """
import os, signal, threading, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
child = os.fork()
if not child:
    while True: signal.pause()
threading.Thread(target=threading.Event().wait, daemon=True).start()
def say(name, text):
    with open(name + ".part", "w") as f: f.write(text)
    os.rename(name + ".part", name)
say("ready", str(child))
while True:
    signal.sigwait([signal.SIGUSR1])
    say("verdict", "ok" if os.fork() or os._exit(0) else "")
    os.wait()
"""


class Groups:
    """Groups of a test, by hierarchy; removed at its end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.enabled: list[str] = []
        self.roots = {h: Path(m[0]) / name for h, m in cgroups._mounts().items()}

    def make(self, hierarchy: str, path: str = "") -> Path:
        if hierarchy not in self.roots:
            pytest.skip(f"no hierarchy {hierarchy or 'of version 2'} here")
        made = self.roots[hierarchy] / path
        made.mkdir(parents=True, exist_ok=True)
        if hierarchy == "cpuset":
            for folder in (self.roots[hierarchy], *reversed(made.relative_to(self.roots[hierarchy]).parents), made):
                for name in ("cpuset.mems", "cpuset.cpus"):
                    everything = (self.roots[hierarchy].parent / name).read_text()
                    (self.roots[hierarchy] / folder / name).write_text(everything)
        return made

    def enable(self, controller: str) -> None:
        """Have a controller of version 2 in groups below the test's own."""
        top = self.roots[""].parent
        if controller not in (top / "cgroup.controllers").read_text().split():
            pytest.skip(f"no controller {controller} in version 2 here")
        if controller not in (top / "cgroup.subtree_control").read_text().split():
            self.enabled.append(controller)
        for folder in (top, self.roots[""]):
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")

    def disable(self) -> None:
        """Take back what has been enabled."""
        for controller in self.enabled:
            (self.roots[""].parent / "cgroup.subtree_control").write_text(f"-{controller}")

    def remove(self) -> None:
        for root in self.roots.values():
            for folder, _, _ in os.walk(root, topdown=False):
                wait.until(lambda folder=folder: removed(folder), f"{folder} is empty")  # type: ignore[misc]


def removed(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def started(folder: Path, program: str = PROGRAM) -> Program:
    made = Program.start([sys.executable, "-c", program], folder)
    made.until_ready()
    return made


def enter(group: Path, pid: int, file: str = "cgroup.procs") -> None:
    (group / file).write_text(str(pid))


def places(pid: int, tid: int = 0) -> dict[str, str]:
    return {p.hierarchy: p.path for p in cgroups.places(cgroups.of_task(pid, tid or pid))}


def threads(pid: int) -> list[int]:
    return sorted(map(int, os.listdir(f"/proc/{pid}/task")))


def family(program: Program) -> tuple[int, int, int]:
    """The root, its other thread, its child."""
    root = program.root
    (child,) = set(tree(root)) - {root}
    return root, threads(root)[1], child
