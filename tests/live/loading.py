"""A tree that is being loaded: where its server is, and when nothing of it is left."""

from __future__ import annotations

import os
from pathlib import Path

from live import wait
from live.program import tree


def named(comm: str) -> list[int]:
    """The processes of that name that live."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            stat = Path(f"/proc/{name}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"({comm})" in stat and stat.rpartition(")")[2].split()[0] not in "ZX":
            found.append(int(name))
    return found


def servers() -> list[int]:
    return named("replant-lazy")


def watchers() -> list[int]:
    return named("replant-watch")


def registered(pid: int) -> bool:
    """Whether a mapping of a process belongs to a userfaultfd."""
    try:
        text = Path(f"/proc/{pid}/smaps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(" um" in line for line in text.splitlines() if line.startswith("VmFlags"))


def until_loaded(root: int) -> None:
    """Wait until everything is loaded, and see that no trace is left."""
    wait.until(lambda: not servers() and not watchers(), "the server has ended")
    assert not any(registered(pid) for pid in tree(root))
    assert os.path.exists(f"/proc/{root}")
