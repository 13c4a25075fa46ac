"""`kill -9` of commands at random moments, and a look at what is left."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from pathlib import Path

from faults.support import processes, uprooted
from live import wait
from live.command import command, replant_json
from live.program import Program


def kill_dumps(program: Program, image: Path, kills: int, seed: int = 1) -> int:
    """Start that many dumps and kill them; the program must be content after each. How many were killed in time."""
    random_moment, killed = random.Random(seed), 0
    words = command("dump", program.root, "-o", image)
    longest = lasts(words)
    for _ in range(kills):
        shutil.rmtree(image, ignore_errors=True)
        killed += killed_after(words, random_moment.uniform(0, longest)) < 0
        program.ask()
    return killed


def kill_restores(folder: Path, kills: int, seed: int = 2) -> int:
    """Start that many restores and kill them: whole trees are there afterwards, or nothing. How often whole ones."""
    program, image = uprooted(folder)
    tree = {task["pid"] for task in replant_json("show", image)["tasks"]}
    words, random_moment = command("restore", image, "--detach"), random.Random(seed)
    before, whole = processes(), 0
    longest = lasts(words)
    program.kill()
    for _ in range(kills):
        wait.until(lambda: processes() <= before, "the last tree is gone")
        killed_after(words, random_moment.uniform(0, 1.3 * longest))
        until_no_worker(before)
        whole += is_whole(program, before, tree)
    return whole


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
