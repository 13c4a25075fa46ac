"""`kill -9` of a dump while a process writes its own pages: the store's descriptor does not stay with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from live import wait
from live.command import command
from replant.abi import x86_64

pytestmark = pytest.mark.timeout(120)
PROGRAM = """
import os, signal
data = os.urandom(1 << 20) * 128
signal.signal(signal.SIGTERM, lambda *_: os._exit(len(set(data[::1 << 20])) - 1))
os.write(1, b"ready\\n")
os.close(1)
while True:
    signal.pause()
"""
KILLS = 8


def descriptors(pid: int) -> dict[str, str]:
    return {name: os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}


def waits_for_a_signal(pid: int) -> bool:
    return Path(f"/proc/{pid}/syscall").read_text().split()[0] == str(x86_64.pause)


def holds_store(pid: int) -> bool:
    try:
        return any("pages.bin" in link for link in descriptors(pid).values())
    except FileNotFoundError:  # it was closed between the two looks
        return False


def test_the_store_is_closed_if_the_dump_is_killed(tmp_path: Path) -> None:
    words = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        try:
            assert program.stdout.readline() == b"ready\n"
            assert program.stdout.read() == b""
            before = descriptors(program.pid)
            maps = Path(f"/proc/{program.pid}/maps").read_text()
            seen = sum(killed_while_it_writes(program.pid, tmp_path / "image") for _ in range(KILLS))
            assert seen > KILLS // 2
            wait.until(lambda: not holds_store(program.pid), "the store stays open")
            assert descriptors(program.pid) == before
            wait.until(lambda: Path(f"/proc/{program.pid}/maps").read_text() == maps, "the arena stays")
            wait.until(lambda: waits_for_a_signal(program.pid), "it is not back in its system call")
            program.terminate()
            assert program.wait(60) == 0
        finally:
            program.kill()


def killed_while_it_writes(pid: int, image: Path) -> bool:
    """Kill a dump as soon as the process is seen with the store; whether it was."""
    with subprocess.Popen(command("dump", pid, "-o", image), stdout=subprocess.DEVNULL) as dump:
        while dump.poll() is None:
            if holds_store(pid):
                dump.kill()
                return True
    return False
