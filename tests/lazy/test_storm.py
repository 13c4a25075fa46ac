"""Memory that is read, written, moved, emptied, unmapped and forked while it is being loaded, and loaders that die."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from live import wait
from live.command import replant_json
from live.compile import compiled
from live.loading import registered, servers, until_loaded, watchers
from live.program import Program

HERE = Path(__file__).parent

pytestmark = pytest.mark.isolated


def storm(tmp_path: Path) -> Program:
    folder = tmp_path / "tree"
    folder.mkdir()
    program = Program.start([str(compiled(HERE / "storm.c", folder))], folder)
    program.until_ready()
    return program


def loading(program: Program, times: int) -> Iterator[None]:
    """Uproot and replant again and again; the tree storms all the time, and is asked after each turn."""
    image = program.folder.with_name("image")
    for _ in range(times):
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        report = replant_json("restore", image, "--lazy", "--detach")
        assert report["bytes_later"] > 16 << 20
        yield
        program.ask()
        until_loaded(program.root)


def test_a_storm(tmp_path: Path) -> None:
    with storm(tmp_path) as program:
        for _ in loading(program, 3):
            pass
        assert not (program.folder / "child").exists()


@pytest.mark.parametrize("whom", [servers, watchers], ids=["server", "watcher"])
def test_its_loaders_are_killed(whom: Callable[[], list[int]], tmp_path: Path) -> None:
    """One after the other, as often as possible; not both at once, which is what cannot be survived."""
    with storm(tmp_path) as program:
        killed = 0
        for _ in loading(program, 3):
            for _ in range(4):
                wait.until(lambda: both() or not registered(program.root), "both are there, or none is needed")
                if both():
                    killed += kill(whom())
        assert killed


def both() -> bool:
    return len(servers()) == len(watchers()) == 1


def kill(pids: list[int]) -> int:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        wait.end_of(pid)
    return len(pids)
