"""From a failure back to its cause: the chain names it, in at most ten lines, with what to try."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from replant.abi import names, x86_64
from replant.errors import Blocker, Refused, ReplantError, TaskGone
from replant.journal import WARNING, Journal, site
from replant.journal.known import DECISION, OPERATION
from replant.journal.layout import ERROR_OK
from replant.journal.reader import Reader
from replant.journal.render import Renderer
from replant.journal.why import LINES, brief, why

ODD = site("odd", "%s of task %p is odd", level=WARNING)


def call(nr: int, ret: int, flags: int = 0) -> bytes:
    return struct.pack("<II6Qq", nr, flags, *[1] * 6, ret)


def told(tmp_path: Path, run: Callable[[Journal], None]) -> list[str]:
    """What ``--why`` says of a run, which may raise."""
    path = str(tmp_path / "journal")
    with Journal.create(path) as journal:
        try:
            with journal.phase("restore"):
                run(journal)
        except ReplantError as error:
            journal.failure(error)
    return explained(path)


def explained(path: str) -> list[str]:
    with Reader(path) as reader:
        lines = why(reader, Renderer(reader.header, names))
    assert len(lines) <= LINES and all(line.isprintable() for line in lines)
    return lines


def test_a_call_that_failed_inside_a_task(tmp_path: Path):
    def run(journal: Journal) -> None:
        with journal.phase("build"):
            ODD(journal, "/lib/x", 40)
            OPERATION(journal, 17, 40, x86_64.openat, "the library /lib/x")
            journal.batch(
                40, 41, call(x86_64.mmap, -errno.EEXIST, ERROR_OK) + call(x86_64.openat, -errno.ENOENT), base=16
            )
            journal.batch(50, 50, call(x86_64.close, -errno.EBADF))
            raise ReplantError("openat failed inside task 40", code="call-failed", pid=40, resource="openat")

    lines = told(tmp_path, run)
    assert lines[0] == "failed: openat failed inside task 40 [call-failed]"
    assert lines[1] == "  about task 40, openat" and lines[2].startswith("  during restore > build, ")
    assert lines[3].startswith("  the call was #17 openat(") and "ENOENT" in lines[3] and "in task 41" in lines[3]
    assert lines[4] == "  the step was #17 in task 40: openat, the library /lib/x"
    assert lines[5] == "  warned before: /lib/x of task 40 is odd"
    assert lines[6] == "  try: put back what was there, under the same path, or correct the path"
    assert brief(str(tmp_path / "journal"), names) == [lines[0], lines[2], lines[3], *lines[6:]]
    assert "raised at test_why:" in lines[7] and "--level debug" in lines[7]


def test_the_call_the_error_names_and_not_a_later_one_of_the_cleanup(tmp_path: Path):
    def run(journal: Journal) -> None:
        journal.batch(40, 40, call(x86_64.clone3, -errno.EEXIST))
        journal.batch(40, 40, call(x86_64.munmap, -errno.EINVAL))
        raise ReplantError("pid 40 is taken: clone3 failed", code="pid-taken", pid=40, hint="use --new-pids")

    lines = told(tmp_path, run)
    assert any("the call was" in line and "clone3" in line and "EEXIST" in line for line in lines)
    assert "  try: use --new-pids" in lines


def test_the_operating_system_said_no(tmp_path: Path):
    def run(journal: Journal) -> None:
        try:
            os.open("/proc/self/no/such/file", os.O_RDONLY)
        except OSError as error:
            try:
                raise RuntimeError("in between") from error
            except RuntimeError as between:
                raise ReplantError("a file of the image is gone", code="image-file") from between

    lines = told(tmp_path, run)
    first, second = [line for line in lines if "which came from" in line]
    assert "RuntimeError: in between" in first and "FileNotFoundError" in second and "ENOENT" in second
    assert any(line.startswith("  try: put back") for line in lines)


def test_a_refusal_lists_its_blockers(tmp_path: Path):
    def run(journal: Journal) -> None:
        blockers = [
            Blocker(f"io_uring is not supported {n}", pid=n, resource=f"fd {n}", hint="close it") for n in range(1, 8)
        ]
        raise Refused("7 blockers", blockers)

    lines = told(tmp_path, run)
    assert lines[0] == "failed: 7 blockers [refused]"
    assert "  because io_uring is not supported 2 (task 2, fd 2)" in lines
    assert "  and 4 more such blockers" in lines and "  try: close it" in lines


def test_a_decision_that_led_to_it(tmp_path: Path):
    def run(journal: Journal) -> None:
        DECISION(journal, 7, "read by procfs", "BPF needs CAP_BPF")
        DECISION(journal, 8, "something else", "of no interest")
        raise TaskGone(7, "its descriptors were read")

    lines = told(tmp_path, run)
    assert "  the step was task 7: read by procfs, because BPF needs CAP_BPF" in lines
    assert "  try: run the command again once the process tree is stable" in lines


def test_the_last_failure_counts(tmp_path: Path):
    def run(journal: Journal) -> None:
        try:
            raise ReplantError("first", code="one") from OSError(errno.EPERM, "no")
        except ReplantError as error:
            journal.failure(error)
        raise ReplantError("second", code="two") from None

    lines = told(tmp_path, run)
    assert lines[0] == "failed: second [two]" and not any("PermissionError" in line for line in lines)


def test_a_run_that_was_killed_is_told_by_its_last_step(tmp_path: Path):
    path = str(tmp_path / "journal")
    pid = os.fork()
    if pid == 0:
        journal = Journal.create(path)
        with journal.phase("dump"), journal.phase("pages"):
            ODD(journal, "memory", 12)
            os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    lines = explained(path)
    assert "was killed" in lines[0] and lines[1].startswith("  during dump > pages")
    assert any("odd: warning: memory of task 12 is odd" in line for line in lines)


def test_nothing_failed(tmp_path: Path):
    assert told(tmp_path, lambda journal: None) == ["nothing failed: the run ended properly and recorded no failure"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSPC, errno.ENOMEM, errno.EADDRINUSE, errno.EAGAIN])
def test_there_is_advice_for_the_usual_errors(tmp_path: Path, number: int):
    def run(journal: Journal) -> None:
        journal.batch(40, 40, call(x86_64.mmap, -number))
        raise ReplantError("mmap failed", pid=40)

    (advice,) = [line for line in told(tmp_path, run) if line.startswith("  try: ")]
    assert "look at what happened" not in advice
