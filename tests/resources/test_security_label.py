"""security_label: kept where the restorer bears the same label. No module is needed: its files are made up here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from replant.errors import Blocker
from replant.resources.task import security_label
from replant.resources.task.security_label import State

TASK: Any = SimpleNamespace(pid=10, tid=11)


@pytest.fixture
def attr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The attr directory of the task, in a made-up /proc whose reader is confined by ``ours``."""
    monkeypatch.setattr(security_label, "_PROC", str(tmp_path))
    monkeypatch.setattr(security_label, "_own", [])
    folder, own = tmp_path / "10/task/11/attr", tmp_path / "self/attr"
    folder.mkdir(parents=True)
    own.mkdir(parents=True)
    (own / "current").write_bytes(b"ours (enforce)\n")
    (folder / "current").write_bytes(b"ours (enforce)\n")
    return folder


def test_without_a_module_there_is_none(attr: Path) -> None:
    (attr.parents[3] / "self/attr/current").unlink()
    assert security_label.read(TASK, ()) is None


def test_the_same_label_is_kept(attr: Path) -> None:
    state = security_label.read(TASK, ())
    assert state == State("ours (enforce)")
    security_label.check(state, 11)


def test_another_label_is_refused_at_restore(attr: Path) -> None:
    (attr / "current").write_bytes(b"system_u:system_r:httpd_t:s0\0")
    state = security_label.read(TASK, ())
    assert state == State("system_u:system_r:httpd_t:s0")
    with pytest.raises(Blocker, match="httpd_t"):
        security_label.check(state, 11)


@pytest.mark.parametrize("name", ["exec", "fscreate", "sockcreate", "keycreate"])
def test_a_label_for_what_comes_next_is_refused(attr: Path, name: str) -> None:
    (attr / name).write_bytes(b"another\0")
    with pytest.raises(Blocker, match="another"):
        security_label.read(TASK, ())
