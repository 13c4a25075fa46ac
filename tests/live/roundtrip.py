"""Dump, kill, restore, compare, ask: what every kind and every program must get through, in every mode."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from live import wait
from live.command import replant, replant_json
from live.program import Program, tree


class Mode:
    """A way to dump and to restore; the same tests run in every one."""

    def __init__(self, dump: tuple[str, ...] = ("--kill",), restore: tuple[str, ...] = ("--detach",)) -> None:
        self.dump = dump
        self.restore = restore


MODES = {
    "plain": Mode(),
    "stop": Mode(dump=("--stop",), restore=("--detach", "--stop")),
    "running": Mode(dump=()),
}
every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def roundtrip(
    program: Program, check: Callable[[], None], mode: Mode = MODES["plain"], times: int = 2, images: Path | None = None
) -> list[dict[str, Any]]:
    """Uproot and replant ``times`` times in a row; after each, the tree equals the image and passes its own check.

    Returns the reports of the dumps and the restores, in order.
    """
    reports = []
    for turn in range(times):
        image = (images or program.folder.parent) / f"{program.folder.name}.image{turn}"
        reports.append(uproot(program, image, mode, check))
        reports.append(replant_json("restore", image, *mode.restore))
        unchanged(image, program.root)
        if "--stop" in mode.restore:
            go_on(program)
        check()
    return reports


def uproot(program: Program, image: Path, mode: Mode, check: Callable[[], None]) -> dict[str, Any]:
    """Dump the tree; where the mode lets it live, make sure that it does, then end it all the same."""
    report: dict[str, Any] = replant_json("dump", program.root, "-o", image, *mode.dump)
    if "--kill" in mode.dump:
        program.reap()
        return report
    if "--stop" in mode.dump:
        assert state(program.root) == "T"
    else:
        check()  # it went on, so it is no longer what the image holds: dump once more, for good
        again = image.with_name(image.name + ".last")
        report = replant_json("dump", program.root, "-o", again, "--stop")
        os.rename(image, image.with_name(image.name + ".first"))
        os.rename(again, image)
    program.kill()
    return report


def unchanged(image: Path, pid: int) -> None:
    """Fail with every difference between an image and a running tree."""
    done = replant("diff", image, pid)
    assert done.returncode == 0, f"the restored tree differs from the image:\n{done.stdout}{done.stderr}"


def go_on(program: Program) -> None:
    """Let a tree that was restored stopped run."""
    wait.until(lambda: state(program.root) == "T", "the root is stopped")
    for pid in tree(program.root):
        os.kill(pid, signal.SIGCONT)


def state(pid: int) -> str:
    """The state letter of /proc/PID/stat."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
