"""``dump --snapshot`` from outside: what it tells, what it refuses, what it does where no copy can be made."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import replant
from live import wait
from live.command import replant_json
from live.compile import compiled
from live.program import Program
from live.roundtrip import state, unchanged
from replant.errors import ReplantError
from replant.flows import snapshots
from replant.tracee import visit

ANON = Path(__file__).parents[1] / "programs" / "areas_anon.c"

pytestmark = pytest.mark.isolated


def areas(tmp_path: Path) -> Program:
    """A program with areas of every sort, those among them that no fork has."""
    folder = tmp_path / "tree"
    folder.mkdir()
    return Program.start([str(compiled(ANON, tmp_path))], folder)


def test_it_says_what_it_cost(tmp_path: Path) -> None:
    with areas(tmp_path) as program:
        program.until_ready()
        report = replant_json("dump", program.root, "-o", tmp_path / "image", "--snapshot")
        plain = replant_json("dump", program.root, "-o", tmp_path / "plain")
        assert report["copies"] == 1
        assert report["copies_ms"] > 0
        assert report["pages_written"] == plain["pages_written"]
        assert plain["copies"] == 0
        assert not replant_json("diff", tmp_path / "image", tmp_path / "plain")["differences"]
        program.ask()


def test_it_is_refused_where_memory_would_not_suffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_available", lambda: 1 << 16)
    with areas(tmp_path) as program:
        program.until_ready()
        with pytest.raises(ReplantError, match="this host has 0 left") as refused:
            replant.dump(program.root, str(tmp_path / "image"), snapshot=True)
        assert refused.value.code == "no-memory"
        assert not (tmp_path / "image").exists()
        replant.dump(program.root, str(tmp_path / "image"), snapshot=True, stop=True)  # nobody writes to anything
        wait.until(lambda: state(program.root) == "T", "it is stopped")


def test_a_process_without_a_copy_is_saved_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "trap_signal", lambda thread: 0)
    with areas(tmp_path) as program:
        program.until_ready()
        report = replant.dump(program.root, str(tmp_path / "image"), snapshot=True, kill=True)
        assert report.copies == 0
        program.reap()
        replant_json("restore", tmp_path / "image", "--detach")
        unchanged(tmp_path / "image", program.root)
        program.ask()


PARENT = """
import os, subprocess, sys, time
import replant
child = subprocess.Popen([sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"],
                         stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
assert child.stdout.readline() == b"ready\\n"
report = replant.dump(child.pid, sys.argv[1], snapshot=True, policy=replant.Policy({"outside": "close"}))
assert report.copies == 1
kids = open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read().split()
assert kids == [str(child.pid)], kids
assert child.poll() is None
child.kill()
child.wait()
open("done", "w").close()
"""


def test_the_dumper_may_be_the_parent(tmp_path: Path) -> None:
    with Program.start([sys.executable, "-c", PARENT, str(tmp_path / "image")], tmp_path, dict(os.environ)) as program:
        wait.until(lambda: (tmp_path / "done").exists() or "Error" in program.output(), "it is done")
        assert (tmp_path / "done").exists(), program.output()


SEGMENT = Path(__file__).parents[1] / "resources" / "sysv_shm.c"


def test_a_copy_is_not_counted_among_those_who_attach_a_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    save = snapshots.Snapshot.save
    monkeypatch.setattr(snapshots.Snapshot, "save", lambda *a: (seen.append(attachments()), save(*a))[1])
    folder = tmp_path / "tree"
    folder.mkdir()
    with Program.start([str(compiled(SEGMENT, tmp_path))], folder) as program:
        program.until_ready()
        before = attachments()
        report = replant.dump(program.root, str(tmp_path / "image"), snapshot=True)
        assert report.copies > 0
        assert seen == [before]
        program.ask()


def attachments() -> list[str]:
    """How often each segment of System V shared memory is attached."""
    return [line.split()[6] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
