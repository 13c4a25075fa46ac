"""semaphore_undo: what the kernel takes back at the end of a process; without a way to read it a refusal."""

from __future__ import annotations

import struct

import pytest
from task_child import Child, again, read

from replant.abi import ipc
from replant.abi import x86_64 as nr
from replant.abi.libc import syscall
from replant.errors import Blocker
from replant.resources.shared import kernel
from replant.resources.task import semaphore_undo
from replant.resources.task.semaphore_undo import Change, State

pytestmark = pytest.mark.isolated


def new_set(*values: int) -> int:
    number = syscall(nr.semget, ipc.IPC_PRIVATE, len(values), 0o600)
    for n, value in enumerate(values):
        syscall(nr.semctl, number, n, ipc.SETVAL, value)
    return number


def values(number: int) -> tuple[int, ...]:
    packed = bytearray(128)
    syscall(nr.semctl, number, 0, ipc.GETALL, packed)
    return struct.unpack_from("=4H", packed)


def changed(child: Child, number: int) -> None:
    by = ipc.pack_sembuf((0, -2, ipc.SEM_UNDO), (1, 3, ipc.SEM_UNDO), (2, 1, 0), (3, -32767, ipc.SEM_UNDO))
    assert child.call(nr.semop, number, by, 4).ret == 0


def test_round_trip() -> None:
    number = new_set(5, 0, 0, 32767)
    with Child() as child:
        changed(child, number)
        state = read(semaphore_undo, child)
        assert state == State((Change(number, 0, 2), Change(number, 1, -3), Change(number, 3, 32767)))
        before = values(number)
        assert again(semaphore_undo, state) == state
    # both have ended: the one that made the changes, and the one in which they were only made again
    assert before == (3, 3, 1, 0)
    assert values(number) == (7, 0, 1, 32767)


def test_nothing_to_undo() -> None:
    number = new_set(1, 1, 1, 1)
    with Child() as child:
        assert child.call(nr.semop, number, ipc.pack_sembuf((0, -1, 0)), 1).ret == 0
        assert read(semaphore_undo, child) is None


def test_what_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "queues", lambda pids, name: None)
    number = new_set(5, 0, 0, 32767)
    with Child() as child:
        changed(child, number)
        with pytest.raises(Blocker, match="SEM_UNDO"):
            read(semaphore_undo, child)
