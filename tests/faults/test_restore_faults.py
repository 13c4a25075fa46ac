"""Every operation of a restore program fails once: nothing is left, and the image can still be restored."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faults.support import processes, restore_with_fault, uprooted
from live import wait
from live.command import replant_json
from live.roundtrip import unchanged

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(600)]


def test_a_failure_at_every_operation_leaves_nothing(tmp_path: Path) -> None:
    program, image = uprooted(tmp_path)
    before, files = processes(), sorted(os.listdir(tmp_path))
    number = 0
    while text := restore_with_fault(image, number):
        wait.until(lambda: processes() <= before, f"operation {number} failed ({text}) and left something")
        assert "Bug" not in text.partition(":")[0], text
        number += 1
    assert number > 100, f"only {number} operations were seen"
    program.kill()
    assert sorted(os.listdir(tmp_path)) == files
    report = replant_json("restore", image, "--detach")
    assert report["root_pid"] == program.root
    unchanged(image, program.root)
    program.ask()
    program.kill()
