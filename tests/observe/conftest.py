"""Trees to look at: started, stopped, and ended whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replant.errors import ReplantError, TaskGone
from replant.observe import procfs
from replant.observe.observer import Observer

ZOO = Path(__file__).parent / "zoo.py"


@pytest.fixture(scope="session")
def bpf() -> Observer:
    """An observer that uses BPF, or a skipped test that says why."""
    try:
        return Observer("bpf")
    except ReplantError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def plain() -> Observer:
    return Observer("procfs")


@pytest.fixture
def zoo() -> Iterator[Callable[[int], int]]:
    """Starts a tree of varied processes and gives its root."""
    roots: list[subprocess.Popen[bytes]] = []

    def start(count: int) -> int:
        root = subprocess.Popen([sys.executable, str(ZOO), str(count)], stdout=subprocess.PIPE)
        roots.append(root)
        assert root.stdout and root.stdout.readline() == b"ready\n"
        return root.pid

    yield start
    for root in roots:
        end(root.pid)
        root.wait()
        assert root.stdout
        root.stdout.close()


@pytest.fixture
def stopped_zoo(zoo: Callable[[int], int]) -> list[int]:
    """The pids of a stopped tree with every member of the zoo twice."""
    return stopped(zoo(42))


@pytest.fixture
def two_hundred(zoo: Callable[[int], int]) -> list[int]:
    """The pids of a stopped tree of more than 200 processes."""
    return stopped(zoo(160))


def stopped(root: int) -> list[int]:
    """The pids of a tree, once all of it is stopped."""
    pids = [node.pid for node in procfs.tree(root)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 60
    while not all(procfs.stat(pid, tid).state in "TZX" for pid in pids for tid in procfs.threads(pid)):
        assert time.monotonic() < deadline, "the zoo does not stop"
        os.sched_yield()
    return pids


def end(root: int) -> None:
    """Kills a tree, leaves last, so that nobody is handed to init alive."""
    for node in reversed(procfs.tree(root)):
        try:
            os.kill(node.pid, signal.SIGKILL)
        except (ProcessLookupError, TaskGone):
            continue
