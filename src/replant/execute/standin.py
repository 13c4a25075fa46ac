"""Calls that only a process with a certain number can make, made before the tree exists.

A socket remembers the pid and the user of whoever paired, connected or listened (SO_PEERCRED, unix(7)), an object of
System V IPC who made it. So for such calls a process with that pid and those effective ids comes into being, shares the
descriptors of the restorer, makes them, and is gone: the number is free again for the tree, and what is remembered
stays. Pid 0 stands for any number.
"""

from __future__ import annotations

import mmap
import os
import struct

from replant.abi import libc, x86_64
from replant.abi.call import Answer, Call, Track
from replant.errors import ReplantError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CLONE_FILES, _CLONE_VFORK = 0x400, 0x4000
_WALL = 0x40000000
_PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 28, 1 << 2
_EEXIST = 17
_KEEP = -1
_NOT_RUN = -(1 << 63)


class StandIn(Call):
    """A call of the restorer's track that stands for all calls of ``inner``."""

    __slots__ = ("gid", "inner", "pid", "uid")

    def __init__(self, pid: int, uid: int, gid: int) -> None:
        super().__init__(x86_64.clone3, why=f"a stand-in for process {pid or 'any'}, who will be remembered")
        self.inner = Track(f"stand-in {pid}")
        self.pid = pid
        self.uid = uid
        self.gid = gid


def add(on: Track, pid: int, uid: int, gid: int) -> Track:
    """A track for calls that a stand-in makes at this place of ``on``."""
    call = StandIn(pid, uid, gid)
    on.calls.append(call)
    return call.inner


def run(call: StandIn, one: Callable[[Call], Answer]) -> Answer:
    """Make the calls; ``one`` makes a single one. The answers are in ``call.inner``, only results, no `Out`.

    :raises ReplantError: the pid is taken. The answer is the first error of the calls, or 0.
    """
    calls = call.inner.calls
    with mmap.mmap(-1, 8 * len(calls) or 8) as results:
        struct.pack_into(f"={len(calls)}q", results, 0, *[_NOT_RUN] * len(calls))
        _wait(_clone(call.pid, lambda: _act(call, one, results)))
        rets = struct.unpack_from(f"={len(calls)}q", results)
    call.inner.answers[:] = [Answer(ret) for ret in rets]
    for made, ret in zip(calls, rets, strict=True):
        if made.failed(Answer(ret)):
            return Answer(ret if ret < 0 else -_EEXIST)  # somebody else has the number that was wanted
    return Answer(0)


def _act(call: StandIn, one: Callable[[Call], Answer], results: mmap.mmap) -> None:
    """In the stand-in. Changing ids keeps capabilities, so that names are reached as the restorer reaches them."""
    libc.syscall(x86_64.prctl, _PR_SET_SECUREBITS, _NO_SETUID_FIXUP)
    libc.syscall(x86_64.setresgid, _KEEP, call.gid, _KEEP)
    libc.syscall(x86_64.setresuid, _KEEP, call.uid, _KEEP)
    for number, made in enumerate(call.inner.calls):
        answer = one(made)
        call.inner.answers.append(answer)
        struct.pack_into("=q", results, 8 * number, answer.ret)
        if made.failed(answer):
            return


def _clone(pid: int, act: Callable[[], None]) -> int:
    """A child with that pid, which ends after ``act``; this returns when it has ended (CLONE_VFORK)."""
    wanted = bytearray(struct.pack("=i", pid))
    numbers = (libc.address(wanted), 1) if pid else (0, 0)
    args = struct.pack("=11Q", _CLONE_FILES | _CLONE_VFORK, 0, 0, 0, 0, 0, 0, 0, *numbers, 0)
    child = libc.syscall_raw(x86_64.clone3, args, len(args))
    if child == 0:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    if child < 0:
        why = "that number is taken" if child == -_EEXIST else os.strerror(-child)
        raise ReplantError(
            f"no process {pid} can be made for what will be remembered of it: {why}",
            code="pid-taken" if child == -_EEXIST else "restore-step",
            pid=pid,
            resource=f"pid {pid}",
            hint="wait until that process has ended, or restore with --new-pids",
        )
    return child


def _wait(child: int) -> None:
    _, status = os.waitpid(child, _WALL)
    if status:
        raise ReplantError(f"the stand-in {child} died", code="stub-died", pid=child)
