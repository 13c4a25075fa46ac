"""security_label: kept where the restorer bears the same label. No module is needed: its files are made up here."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from facts import Facts, World

from replant.errors import Blocker
from replant.resources import registry
from replant.resources.shared import labels
from replant.resources.task import security_label
from replant.resources.task.security_label import State

TASK: Any = SimpleNamespace(pid=10, tid=11)


@pytest.fixture
def attr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The attr directory of the task, in a made-up /proc whose reader is confined by ``ours``."""
    monkeypatch.setattr(labels, "PROC", str(tmp_path))
    monkeypatch.setattr(labels, "_own", [])
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


STACK = b"ours//&:inside://of (enforce)\n"


def test_a_stack_of_profiles_is_compared_as_a_whole(attr: Path) -> None:
    (attr / "current").write_bytes(STACK)
    state = security_label.read(TASK, ())
    assert state is not None
    with pytest.raises(Blocker, match="inside"):
        security_label.check(state, 11)
    (attr.parents[3] / "self/attr/current").write_bytes(STACK)
    labels._own.clear()
    security_label.check(state, 11)


@pytest.fixture
def connected(attr: Path, world: World) -> Iterator[Facts]:
    """A socket of a process with the label ``ours``."""
    pid = attr.parents[3] / str(os.getpid())
    (pid / "attr").mkdir(parents=True)
    (pid / "attr/current").write_bytes(b"ours (enforce)\n")
    with socket.socket() as s:
        yield world.facts(s.fileno())[0]


def test_a_socket_with_the_label_of_its_process(connected: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.claim_file(connected)[0] == "tcp"  # no label at all, as under AppArmor
    monkeypatch.setattr(os, "getxattr", lambda fd, name: b"ours (enforce)\0")
    assert registry.claim_file(connected)[0] == "tcp"


def test_a_socket_with_another_label_is_refused(connected: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getxattr", lambda fd, name: b"system_u:system_r:init_t:s0\0")
    with pytest.raises(Blocker, match="init_t") as refused:
        registry.claim_file(connected)
    assert refused.value.code == "security-label"
    assert refused.value.resource == connected.where
