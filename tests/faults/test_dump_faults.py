"""Whatever fails in a dump, and wherever: the target runs on and is content, and nothing half-made is left."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from faults.injection import ERRORS, dump_with_fault
from faults.support import family
from live import wait
from live.command import replant_json
from live.program import Program, tree

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(300)]
ARENA = "200000000000-"  # where a process that is asked has a mapping of ours
STEP = 23  # bench/faults.py takes every single one


def test_a_failure_anywhere_leaves_the_target_content(tmp_path: Path) -> None:
    with family(tmp_path) as program:
        number = os.getpid() * 7 % STEP
        failed = 0
        while outcome_of_fault(program, tmp_path / "image", number):
            failed += 1
            number += STEP
        assert failed > 20, f"only {failed} steps failed"


def outcome_of_fault(program: Program, image: Path, number: int) -> str:
    """Let call ``number`` of a dump fail: ``failed``, ``done`` all the same, or ``""``: there are not so many."""
    error = ERRORS[number % len(ERRORS)]()
    place, outcome = dump_with_fault(program.root, image, number, error)
    program.ask()
    wait.until(lambda: not any(ARENA in maps(pid) for pid in tree(program.root)), f"{place}: the arena stays")
    if image.exists():  # a failure after it has got its name leaves it, and it is whole
        replant_json("image", "verify", image)
        shutil.rmtree(image)
    left = sorted(path.name for path in image.parent.glob("image*"))
    assert not left, f"after {error!r} at {place} there is {left}: {outcome}"
    if not place:
        return ""
    return "done" if outcome == "done" else "failed"


def maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()
