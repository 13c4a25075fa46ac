"""The first session of the README works when it is typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from live.command import command

README = (Path(__file__).parents[2] / "README.md").read_text()
SESSION = README[README.index("## A first session") :]

pytestmark = pytest.mark.isolated


def block(language: str) -> str:
    """The first code block of the session in that language."""
    found = re.search(rf"```{language}\n(.*?)```", SESSION, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("job_control", ["-m", "+m"])
def test_in_a_shell(job_control: str, tmp_path: Path) -> None:
    script = tmp_path / "replant"
    script.write_text('#!/bin/sh\nexec "{}" {} "{}" "$@"\n'.format(*command()))
    script.chmod(0o755)
    text = block("sh").replace("/tmp/numbers", f"{tmp_path}/numbers")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    argv = ["bash", "-e", job_control, "-c", text]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "task" in done.stdout
    before, after = (int(line) for line in done.stdout.splitlines() if line.isdecimal())
    assert after > before
    numbers = [int(line) for line in (tmp_path / "numbers").read_text().splitlines()]
    assert numbers == list(range(len(numbers))), "a number is missing or came twice"


def test_in_python(tmp_path: Path) -> None:
    start = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"
    pid = subprocess.run(["sh", "-c", start], capture_output=True, text=True, check=True).stdout
    code = f"pid = {pid}\n" + block("python").replace("/tmp/numbers", f"{tmp_path}/numbers")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages, frozen = done.stdout.split()  # and no difference
    assert int(pages) > 0
    assert float(frozen) > 0
    os.kill(int(pid), 9)
