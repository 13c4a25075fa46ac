"""`kill -9` of a dump or of a restore, at any moment: the tree is alive and right, or whole, or not there at all."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from faults.support import family, processes, uprooted
from live import wait
from live.command import command, replant_json
from live.program import Program
from live.roundtrip import unchanged

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(600)]
KILLS = 60  # bench/kills.py does it ten times as often


def killed_after(words: list[str], seconds: float) -> int:
    """Run a command, kill it after a time unless it has ended; its exit code."""
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
    return child.wait()


def lasts(words: list[str]) -> float:
    """Seconds that a command takes when it is let alone."""
    began = time.monotonic()
    subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)
    return time.monotonic() - began


def test_a_killed_dump_harms_nobody(tmp_path: Path) -> None:
    image, random_moment = tmp_path / "image", random.Random(1)
    with family(tmp_path) as program:
        words = command("dump", program.root, "-o", image)
        longest = lasts(words)
        killed = 0
        for _ in range(KILLS):
            shutil.rmtree(image, ignore_errors=True)
            killed += killed_after(words, random_moment.uniform(0, longest)) < 0
            program.ask()
        assert killed > KILLS // 4
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        assert sorted(p.name for p in tmp_path.glob("image*")) == ["image"]
        replant_json("restore", image, "--detach")
        unchanged(image, program.root)
        program.ask()


def test_a_killed_restore_leaves_all_or_nothing(tmp_path: Path) -> None:
    program, image = uprooted(tmp_path)
    tree = {task["pid"] for task in replant_json("show", image)["tasks"]}
    words, random_moment = command("restore", image, "--detach"), random.Random(2)
    before = processes()
    longest = lasts(words)
    program.kill()
    whole = 0
    for _ in range(KILLS):
        wait.until(lambda: processes() <= before, "the last tree is gone")
        killed_after(words, random_moment.uniform(0, 1.3 * longest))
        until_no_worker(before)
        whole += is_whole(program, before, tree)
    assert 0 < whole < KILLS


def is_whole(program: Program, before: set[int], tree: set[int]) -> bool:
    """Whether the tree is there and content. If it is not, nothing of it may stay."""
    if processes() <= before:
        return False
    try:
        program.ask()
    except (wait.Died, ProcessLookupError):  # what was not let go of dies with the worker
        wait.until(lambda: processes() <= before, "part of a tree stays")
        return False
    assert processes() - before == tree
    program.kill()
    return True


def until_no_worker(before: set[int]) -> None:
    try:
        wait.until(lambda: no_worker(before), "the worker has ended")
    except TimeoutError:
        left = [f"{pid} {cmdline(pid)!r} {look(pid, 'stat')} {look(pid, 'syscall')}" for pid in processes() - before]
        raise AssertionError("these are left: " + "; ".join(left)) from None


def look(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()[:80]
    except OSError as e:
        return str(e)


def no_worker(before: set[int]) -> bool:
    """No process of the tool itself is left."""
    return not any(b"restore" in cmdline(pid).split(b"\0") for pid in processes() - before)


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
