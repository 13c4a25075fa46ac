"""All attributes of tasks in one real process, replanted twice: checked by itself, by procfs and by diff."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from live import wait
from live.compile import compiled
from live.program import Program, tree
from live.roundtrip import Mode, every_privileged_mode, roundtrip

HERE = Path(__file__).parent

STATUS = (
    *("Name", "Umask", "Uid", "Gid", "Groups", "Threads", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"),
    *("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Cpus_allowed", "THP_enabled"),
)
FILES = ("limits", "oom_score_adj", "cmdline", "environ", "auxv", "coredump_filter", "personality")


def seen(pid: int) -> dict[str, bytes | str]:
    """What others see of a process and of its threads, by name."""
    process = Path(f"/proc/{pid}")
    found: dict[str, bytes | str] = {name: (process / name).read_bytes() for name in FILES}
    found["owner"] = str((process / "fd").stat().st_uid)
    found["timers"] = re.sub(rb"(?<=id\.)\d+", b"", (process / "timers").read_bytes())  # whom they notify: it knows
    for name, thread in enumerate(sorted((process / "task").iterdir(), key=lambda thread: int(thread.name))):
        lines = (thread / "status").read_text().splitlines()
        found |= {f"{name} {line.partition(':')[0]}": line for line in lines if line.startswith(STATUS)}
        stat = (thread / "stat").read_text().rpartition(")")[2].split()
        # priority, nice, start of code … stack, exit signal, policy, bounds of data … environment
        found[f"{name} stat"] = " ".join(stat[i] for i in (15, 16, 23, 24, 25, 35, 37, 38, *range(42, 49)))
    return found


def child_of(program: Program) -> int:
    """The only one; out here it may have another number after each restore."""
    (child,) = set(tree(program.root)) - {program.root}
    return child


def different(before: dict[str, bytes | str], after: dict[str, bytes | str]) -> dict[str, object]:
    names = before.keys() | after.keys()
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


@pytest.mark.isolated
@every_privileged_mode
def test_all_attributes(mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "program"
    folder.mkdir()
    with Program.start([str(compiled(HERE / "attributes.c", folder))], folder) as program:
        program.until_ready()
        program.ask()
        before = seen(child_of(program))

        def check() -> None:
            # a thread that has not yet come back to its sigwait shows the waited-for signal as blocked
            deadline = time.monotonic() + wait.LIMIT
            while different(before, seen(child_of(program))) and time.monotonic() < deadline:
                os.sched_yield()
            assert different(before, seen(child_of(program))) == {}
            program.ask()

        roundtrip(program, check, mode)
