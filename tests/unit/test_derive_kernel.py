"""The rules and the derivations on the running kernel, in fresh pid namespaces; all of it is in bench/derive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "words",
    [
        ("--namespaces", "5", "--ops", "800", "--seed", "41"),
        ("--namespaces", "25", "--derive", "--seed", "500"),
    ],
)
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare(1)")
def test_kernel_agrees(words: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [sys.executable, ROOT / "bench" / "derive" / "kernel.py", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 differences" in ran.stdout
