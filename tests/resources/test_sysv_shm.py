"""sysv_shm: segments attached, in parts, by several processes, detached and to be removed; others who use them."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import pytest
import sysv
from sysv import libc

from live.command import replant, replant_json
from live.roundtrip import Mode, every_mode, roundtrip

libc.shmat.restype = ctypes.c_void_p
IPC_CREAT, IPC_RMID, KEY = 0o1000, 0, 0x7265706C

pytestmark = pytest.mark.isolated


@every_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    sysv.goes_on("shm", mode, tmp_path)


def test_it_comes_back_where_there_is_none(tmp_path: Path) -> None:
    sysv.comes_back("shm", tmp_path)


def test_outsiders_who_attach_a_segment(tmp_path: Path) -> None:
    with sysv.start("shm", tmp_path) as program:
        identifier = libc.shmget(KEY, 0, 0)
        at = libc.shmat(identifier, None, 0)
        refused = replant_json("dump", program.root, "-o", tmp_path / "image", "--kill", expect=1)
        found = {(blocker["code"], blocker["resource"]) for blocker in refused["blockers"]}
        assert found == {("ipc-outside", f"shared memory segment {identifier}")}
        # another attachment is what its own check would complain about; with it gone all is as before
        libc.shmdt(ctypes.c_void_p(at))
        program.ask()


def test_outsiders_keep_what_is_left_to_them(tmp_path: Path) -> None:
    with sysv.start("shm", tmp_path) as program:
        identifier, image = libc.shmget(KEY, 0, 0), tmp_path / "image"
        at = libc.shmat(identifier, None, 0)
        replant_json("dump", program.root, "-o", image, "--kill", "--ipc", "leave")
        program.reap()
        ctypes.memset(at, ord("!"), 1)
        replant_json("restore", image, "--detach")
        libc.shmdt(ctypes.c_void_p(at))
        with pytest.raises(AssertionError, match="contents differ"):
            program.ask()


def test_a_number_that_is_taken(tmp_path: Path) -> None:
    with sysv.start("shm", tmp_path) as program:
        identifier, image = libc.shmget(KEY, 0, 0), tmp_path / "image"
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        at = libc.shmat(identifier, None, 0)
        refused = json.loads(replant("restore", image, "--detach", "--json").stdout)
        assert [b["code"] for b in refused["blockers"]] == ["ipc-taken"]
        libc.shmdt(ctypes.c_void_p(at))
        libc.shmctl(identifier, IPC_RMID, None)
        other = libc.shmget(KEY, 100, IPC_CREAT | 0o600)
        refused = json.loads(replant("restore", image, "--detach", "--json").stdout)
        assert "key" in refused["blockers"][0]["error"]
        libc.shmctl(other, IPC_RMID, None)
        replant_json("restore", image, "--detach")
        program.ask()


def test_segments_of_others_are_none_of_its_business(tmp_path: Path) -> None:
    identifier = libc.shmget(0, 4096, 0o600)
    at = libc.shmat(identifier, None, 0)
    with sysv.start("shm", tmp_path) as program:
        roundtrip(program, program.ask, times=1)
    libc.shmdt(ctypes.c_void_p(at))
    assert libc.shmctl(identifier, IPC_RMID, None) == 0
