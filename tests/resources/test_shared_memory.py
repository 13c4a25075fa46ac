"""Memory that processes share without a name, and programs that run from a memory file."""

from __future__ import annotations

import json
import mmap
import os
import signal
from pathlib import Path

import pytest

from live.command import replant
from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, every_mode, roundtrip

HERE = Path(__file__).parent

pytestmark = pytest.mark.isolated


@every_mode
@pytest.mark.parametrize("name", ["shared_anon", "memory_program"])
def test_goes_on(name: str, mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    with Program.start([str(compiled(HERE / f"{name}.c", folder))], folder) as program:
        program.until_ready()
        program.ask()
        roundtrip(program, program.ask, mode, times=1)


class Outside:
    """A child of ours that shares the memory of ``fd``, or nameless memory if there is none."""

    def __init__(self, fd: int = -1) -> None:
        self.memory = mmap.mmap(fd, mmap.PAGESIZE)
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            for number in range(3):
                os.dup2(os.open(os.devnull, os.O_RDWR), number)
            while True:
                signal.pause()

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def sharing(pid: int, *options: str) -> list[dict[str, str]]:
    """What of a tree is refused because others share it; it has descriptors of this test too.

    Process 1 shares what earlier tests of this runner have left mapped in all of its children.
    """
    blockers = json.loads(replant("check", pid, *options, "--json").stdout)["blockers"]
    return [blocker for blocker in blockers if "shares it" in (error := blocker["error"]) and "process 1," not in error]


@pytest.mark.parametrize("kind", ["anonymous", "memfd"])
def test_memory_that_outsiders_share(kind: str, tmp_path: Path) -> None:
    fd = -1
    if kind == "memfd":
        fd = os.memfd_create("both")
        os.ftruncate(fd, mmap.PAGESIZE)
    tree = Outside(fd)
    try:
        if fd >= 0:
            os.close(fd)
        found = sharing(tree.pid)
        assert {blocker["code"] for blocker in found} == {"outside"}
        assert all(f"process {os.getpid()}," in blocker["error"] for blocker in found)
        assert sharing(tree.pid, "--shared-memory", "copy") == []
        tree.memory.close()
        assert sharing(tree.pid) == []
    finally:
        tree.end()
