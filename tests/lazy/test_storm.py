"""Memory that is read, written, moved, emptied, unmapped and forked while it is being loaded, and loaders that die."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
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


@pytest.mark.parametrize("places", [(0, 1), (0, 2), (1, 2)])
def test_its_loaders_are_killed(places: tuple[int, ...], tmp_path: Path) -> None:
    """Two of the server, its successor, and the successor of that, in the same instant, as often as possible."""
    with storm(tmp_path) as program:
        killed = 0
        for _ in loading(program, 2):
            for _ in range(3):
                wait.until(lambda: loaders() or not registered(program.root), "all are there, or none is needed")
                if found := loaders():
                    killed += kill([found[place] for place in places])
        assert killed


def loaders() -> list[int]:
    """The server and its successors, the eldest first; nobody if not all are there."""
    found = servers()
    while found and (heirs := [pid for pid in watchers() if parent(pid) == found[-1]]):
        found += heirs
    return found if len(found) == 3 else []


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def kill(pids: list[int]) -> int:
    """Kill processes that have no time to do anything about it."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
    for pid in pids:
        wait.end_of(pid)
    return len(pids)
