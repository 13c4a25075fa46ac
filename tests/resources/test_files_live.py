"""Every kind of file in a real program that is uprooted and replanted: neither it nor the diff notices."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from live import wait
from live.program import Program
from live.roundtrip import roundtrip
from replant.abi import x86_64

KINDS = [
    "regular", "directory", "chardev", "path", "pipe", "fifo", "eventfd", "eventpoll", "timerfd", "signalfd", "memfd",
    "shm", "unlinked", "unix", "tcp", "udp", "inotify", "pidfd", "locks",
]  # fmt: skip

#: Neighbouring anonymous mappings that the kernel kept apart may be one afterwards; other tests are about memory.
_MEMORY = ("anon", "mapping")

pytestmark = pytest.mark.isolated


def goes_on(folder: Path, kinds: list[str], times: int) -> None:
    folder.mkdir()
    here = Path(__file__).parent
    paths = f"{here.parent / 'programs'}:{here.parents[1] / 'src'}"
    argv = [sys.executable, str(here / "every_file.py"), *kinds]
    with Program.start(argv, folder, {"PYTHONPATH": paths}) as program:
        program.until_ready()
        check(program)
        roundtrip(program, lambda: check(program), times=times, options=("--locks", "keep"), moving=_MEMORY)


def check(program: Program) -> None:
    """Ask it, and wait until it is at rest: its heap moves no more."""
    program.ask()
    waits = f"{x86_64.rt_sigtimedwait} "
    wait.until(lambda: Path(f"/proc/{program.root}/syscall").read_text().startswith(waits), "it waits for a signal")


@pytest.mark.parametrize("kind", KINDS)
def test_goes_on(kind: str, tmp_path: Path) -> None:
    goes_on(tmp_path / "tree", [kind], times=1)


def test_all_at_once(tmp_path: Path) -> None:
    goes_on(tmp_path / "tree", KINDS, times=2)
