"""Hosts that cannot take a tree: a restore says why, all reasons at once, and leaves nothing but what was there."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.support import processes
from live import wait
from live.command import command, replant_json
from live.program import Program

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(120)]
PROGRAMS = Path(__file__).parents[1] / "programs"
PATH = {"PYTHONPATH": str(PROGRAMS)}
READER = """
import os, sys, selfcheck
kept = open("data")
selfcheck.serve(lambda: None if kept.read(1) or kept.seek(0) == 0 else kept.no)
"""


class Uprooted:
    """A program that has the file ``data`` open as an image; it runs no more."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "image"
        self.data = folder / "data"
        self.data.write_text("data")
        self.program = Program.start([sys.executable, "-c", READER], folder, PATH)
        self.program.until_ready()
        self.program.ask()
        replant_json("dump", self.program.root, "-o", self.image, "--kill")
        self.program.reap()
        self.before = processes()

    def refused(self, *codes: str, **how: Any) -> list[dict[str, Any]]:
        """A restore refuses with blockers of these codes, and nothing is left; ``check`` says the same."""
        answer = replant_json("restore", self.image, "--detach", expect=1, **how)
        found = {b["code"] for b in answer["blockers"]}
        assert found == set(codes), answer
        assert all(b["error"] and b["hint"] and b["resource"] for b in answer["blockers"]), answer
        checked = replant_json("check", self.image, expect=1)["blockers"]
        assert {b["code"] for b in checked} >= found
        self.nothing_is_left()
        return list(answer["blockers"])

    def nothing_is_left(self) -> None:
        wait.until(lambda: processes() <= self.before, f"{processes() - self.before} are left")

    def restored(self) -> None:
        """Once what was wrong is right again."""
        replant_json("restore", self.image, "--detach")
        self.program.ask()
        self.program.kill()


def forked_as(pid: int, work: Callable[[], None]) -> int:
    """A child with the number ``pid`` that does ``work`` and waits; ready when this returns."""
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        work()
        os.write(writing, b"1")
        os.close(writing)
        while True:
            signal.pause()
    os.close(writing)
    assert os.read(reading, 1) == b"1"
    os.close(reading)
    assert child == pid
    return child


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_the_pid_is_taken(tmp_path: Path) -> None:
    uprooted = Uprooted(tmp_path)
    root = uprooted.program.root
    other = forked_as(root, lambda: None)
    uprooted.before.add(other)
    (blocker,) = uprooted.refused("pid-taken")
    assert blocker["pid"] == root
    os.kill(other, 0)
    end(other)
    uprooted.restored()


@pytest.mark.parametrize("make", [lambda: os.setpgid(0, 0), os.setsid], ids=["group", "session"])
def test_the_number_is_that_of_a_group(tmp_path: Path, make: Callable[[], None]) -> None:
    """Whose leader has ended: no process has the number, and none can get it."""
    uprooted = Uprooted(tmp_path)
    member = member_of_a_group(uprooted.program.root, make)
    uprooted.before.add(member)
    (blocker,) = uprooted.refused("pid-taken")
    assert blocker["pid"] == uprooted.program.root
    os.kill(member, signal.SIGKILL)
    wait.until(lambda: not os.path.exists(f"/proc/{member}"), "the member is gone")
    uprooted.restored()


def member_of_a_group(number: int, make: Callable[[], None]) -> int:
    reading, writing = os.pipe()

    def lead() -> None:
        make()
        if os.fork() == 0:
            os.write(writing, os.getpid().to_bytes(4, "little"))
            os.close(writing)
            while True:
                signal.pause()

    leader = forked_as(number, lead)
    member = int.from_bytes(os.read(reading, 4), "little")
    os.close(reading)
    os.close(writing)
    end(leader)
    return member


def changes() -> Iterator[tuple[str, Callable[[Path], None], str]]:
    yield "gone", lambda path: path.unlink(), "file-gone"
    yield "longer", lambda path: append(path, "more"), "file-changed"
    yield "touched", lambda path: os.utime(path), "file-changed"
    yield "a directory", lambda path: (path.unlink(), path.mkdir()), "file-changed"  # type: ignore[misc]
    yield "another file", lambda path: (path.unlink(), append(path, "atad")), "file-changed"  # type: ignore[misc]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.mark.parametrize(("change", "code"), [row[1:] for row in changes()], ids=[row[0] for row in changes()])
def test_a_file_has_changed(tmp_path: Path, change: Callable[[Path], None], code: str) -> None:
    uprooted = Uprooted(tmp_path)
    shutil.copy2(uprooted.data, tmp_path / "kept")
    change(uprooted.data)
    (blocker,) = uprooted.refused(code)
    assert blocker["resource"] == str(uprooted.data)
    if uprooted.data.is_dir():
        uprooted.data.rmdir()
    os.replace(tmp_path / "kept", uprooted.data)
    uprooted.restored()


def test_all_at_once(tmp_path: Path) -> None:
    uprooted = Uprooted(tmp_path)
    other = forked_as(uprooted.program.root, lambda: None)
    uprooted.before.add(other)
    uprooted.data.unlink()
    uprooted.refused("pid-taken", "file-gone")
    end(other)


def restore(uprooted: Uprooted, prepare: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    """A restore by a process that has been made less able before."""
    words = command("restore", uprooted.image, "--detach")
    return subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False, preexec_fn=prepare
    )


def without(*capabilities: int) -> Callable[[], None]:
    """Drop capabilities from the bounding set, so that root does not get them by execve(2)."""

    def drop() -> None:
        for each in capabilities:
            assert ctypes.CDLL(None).prctl(24, each, 0, 0, 0) == 0  # PR_CAPBSET_DROP

    return drop


def limit(which: int, value: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(which, (value, resource.getrlimit(which)[1]))


CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_SYS_CHROOT, CAP_SYS_PTRACE, CAP_SYS_ADMIN = 6, 7, 8, 18, 19, 21
CAP_CHECKPOINT_RESTORE = 40
LESS: dict[str, Callable[[], None]] = {
    "no pids": without(CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN),
    "no tracing": without(CAP_SYS_PTRACE),
    "no users": without(CAP_SETUID, CAP_SETGID, CAP_SETPCAP),
    "no capabilities": without(*range(24), *range(25, 41)),
    "few descriptors": limit(resource.RLIMIT_NOFILE, 14),
    "fewer descriptors": limit(resource.RLIMIT_NOFILE, 9),
    "little memory": limit(resource.RLIMIT_AS, 600 << 20),
    "less memory": limit(resource.RLIMIT_AS, 120 << 20),
    "small files": limit(resource.RLIMIT_FSIZE, 4096),
}


@pytest.mark.parametrize("name", LESS)
def test_a_restorer_that_may_little(tmp_path: Path, name: str) -> None:
    """It says what is wrong, and leaves nothing; or it has done it all the same."""
    uprooted = Uprooted(tmp_path)
    os.chmod(tmp_path, 0o755)
    done = restore(uprooted, LESS[name])
    if done.returncode == 0:
        uprooted.program.ask()
        uprooted.program.kill()
        return
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("replant: "), done.stderr
    assert "try: " in done.stderr, done.stderr
    uprooted.nothing_is_left()
    uprooted.restored()
