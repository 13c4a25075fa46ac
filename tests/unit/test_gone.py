"""Who counts as gone while a tree is looked at."""

from __future__ import annotations

import os
import subprocess

import pytest

from replant.flows.capture import is_gone
from replant.observe import procfs


def test_the_dead_and_the_living() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(child.pid)
    child.wait()
    assert is_gone(child.pid) and not is_gone(os.getpid())


def test_who_is_on_the_way_out_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is given back first: what can be read of it then is as little as of the dead."""
    stat = procfs.stat(os.getpid())
    monkeypatch.setattr(procfs, "stat", lambda pid: stat._replace(flags=stat.flags | 4))
    assert is_gone(os.getpid())
