"""The command line as its users run it: a process of its own, in the namespace of the test."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_RUN = "from replant.cli.main import run; run()"


def command(*words: object) -> list[str]:
    """The argv of ``replant WORDS``."""
    return [sys.executable, "-c", _RUN, *map(str, words)]


def replant(*words: object, limit: float = 60) -> subprocess.CompletedProcess[str]:
    """Run ``replant WORDS`` to its end, whatever its exit code."""
    return subprocess.run(
        command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit, check=False
    )


def replant_json(*words: object, expect: int = 0, limit: float = 60) -> Any:
    """Run ``replant WORDS --json``; the document that it printed. Fails if the exit code is not ``expect``."""
    done = replant(*words, "--json", limit=limit)
    assert done.returncode == expect, f"replant {' '.join(map(str, words))}: {done.returncode}\n{done.stderr}"
    return json.loads(done.stdout)
