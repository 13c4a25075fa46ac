"""Tasks that come and go while they are read: no failure, no lie."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from replant.observe.facts import File, Task, Vma
from replant.observe.observer import Observer

_STORM = """
import os, signal, sys
print("ready", flush=True)
pids = []
while True:
    pid = os.fork()
    if not pid:
        if os.getpid() % 3 == 0:
            os.execv("/bin/true", ["true"])
        os._exit(0)
    pids.append(pid)
    if len(pids) > 30:
        os.waitpid(pids.pop(0), 0)
"""


@pytest.fixture
def storm() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", _STORM], stdout=-1) as child:
        assert child.stdout and child.stdout.readline() == b"ready\n"
        yield child.pid
        os.kill(child.pid, signal.SIGKILL)


@pytest.mark.parametrize("source", ["bpf", "plain"])
def test_a_fork_storm(source: str, storm: int, request: pytest.FixtureRequest) -> None:
    observer: Observer = request.getfixturevalue(source)
    end = time.monotonic() + 3
    rounds = vanished = children = 0
    while time.monotonic() < end:
        seen = observer.look(Task, ["pid", "ppid", "comm", "uids", "state"], tree=storm)
        vanished += seen.vanished
        for pid, ppid, comm, uids, state in seen.records:
            assert pid == storm or (
                ppid == storm and comm in ("python", "python3", "true", sys.executable[-15:].rpartition("/")[2])
            )
            assert uids == (os.getuid(),) * 4 and isinstance(state, str)
            children += pid != storm
        for facts in (Vma, File):
            rows = observer.look(facts, list(facts._fields), tree=storm).records
            assert all(len(row) == len(facts._fields) for row in rows)
        rounds += 1
    assert rounds > 3 and children > rounds


def test_whole_system_in_a_storm(bpf: Observer, storm: int) -> None:
    for _ in range(20):
        pids = [pid for (pid,) in bpf.look(Task, ["pid"]).records]
        assert len(pids) == len(set(pids)) and {os.getpid(), storm} <= set(pids)
