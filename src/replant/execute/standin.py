"""Calls that only a process with a certain number, certain ids or a certain end can make.

A socket remembers the pid and the user of whoever paired, connected or listened (SO_PEERCRED, unix(7)), an object of
System V IPC who made it, a descriptor who asked for its signals, and a pidfd or a file of /proc may be one of a process
that is gone. So for such calls a process comes into being, shares the descriptors of the restorer, makes them, and is
gone: the number is free again for the tree, and what is remembered stays. Pid 0 stands for any number.
"""

from __future__ import annotations

import mmap
import os
import struct

from replant.abi import libc, x86_64
from replant.abi.call import Answer, Call, Track
from replant.errors import ReplantError
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CLONE_FS, _CLONE_FILES, _CLONE_VFORK = 0x200, 0x400, 0x4000
_WALL = 0x40000000
_PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 28, 1 << 2
_EEXIST = 17
_RLIMIT_CORE, _SIG_SETMASK = 4, 2
_FAILED = 113
_KEEP = -1
_NOT_RUN = -(1 << 63)


class Who(Frozen):
    """Process ``pid``, 0: any; effective ids and real user, -1: those of the restorer; the wait status it ends with."""

    pid: int
    uid: int = -1
    gid: int = -1
    real_uid: int = -1
    status: int = 0


class StandIn(Call):
    """A call of the restorer's track that stands for all calls of ``inner``."""

    __slots__ = ("inner", "who")

    def __init__(self, who: Who) -> None:
        whom = f"process {who.pid}" if who.pid else "a process that is gone"
        super().__init__(x86_64.clone3, why=f"a stand-in for {whom}, who will be remembered")
        self.inner = Track(f"stand-in {who.pid}")
        self.who = who


def add(on: Track, who: Who) -> Track:
    """A track for calls that a stand-in makes at this place of ``on``."""
    call = StandIn(who)
    on.calls.append(call)
    return call.inner


def run(call: StandIn, one: Callable[[Call], Answer]) -> Answer:
    """Make the calls; ``one`` makes a single one. The answers are in ``call.inner``, only results, no `Out`.

    :raises ReplantError: the pid is taken. The answer is the first error of the calls, or 0.
    """
    calls = call.inner.calls
    with mmap.mmap(-1, 8 * len(calls) or 8) as results:
        struct.pack_into(f"={len(calls)}q", results, 0, *[_NOT_RUN] * len(calls))
        _wait(_clone(call.who, lambda: _act(call, one, results)), call.who.status)
        rets = struct.unpack_from(f"={len(calls)}q", results)
    call.inner.answers[:] = [Answer(ret) for ret in rets]
    for made, ret in zip(calls, rets, strict=True):
        if made.failed(Answer(ret)):
            return Answer(ret if ret < 0 else -_EEXIST)  # somebody else has the number that was wanted
    return Answer(0)


def _act(call: StandIn, one: Callable[[Call], Answer], results: mmap.mmap) -> None:
    """In the stand-in. Changing ids keeps capabilities, so that names are reached as the restorer reaches them."""
    libc.syscall(x86_64.prctl, _PR_SET_SECUREBITS, _NO_SETUID_FIXUP)
    libc.syscall(x86_64.setresgid, _KEEP, call.who.gid, _KEEP)
    libc.syscall(x86_64.setresuid, call.who.real_uid, call.who.uid, _KEEP)
    for number, made in enumerate(call.inner.calls):
        answer = one(made)
        call.inner.answers.append(answer)
        struct.pack_into("=q", results, 8 * number, answer.ret)
        if made.failed(answer):
            return


def _clone(who: Who, act: Callable[[], None]) -> int:
    """A child with that pid, which ends after ``act``; this returns when it has ended (CLONE_VFORK)."""
    wanted = bytearray(struct.pack("=i", who.pid))
    numbers = (libc.address(wanted), 1) if who.pid else (0, 0)
    args = struct.pack("=11Q", _CLONE_FS | _CLONE_FILES | _CLONE_VFORK, 0, 0, 0, 0, 0, 0, 0, *numbers, 0)
    child = libc.syscall_raw(x86_64.clone3, args, len(args))
    if child == 0:
        try:
            act()
            _end(who.status)
        finally:
            os._exit(_FAILED)
    if child < 0:
        why = "that number is taken" if child == -_EEXIST else os.strerror(-child)
        raise ReplantError(
            f"no process {who.pid} can be made for what will be remembered of it: {why}",
            code="pid-taken" if child == -_EEXIST else "restore-step",
            pid=who.pid,
            resource=f"pid {who.pid}",
            hint="wait until that process has ended, or restore with --new-pids",
        )
    return child


def _end(status: int) -> None:
    """End with that wait status, leaving no core."""
    if signal := status & 0x7F:
        libc.syscall(x86_64.setrlimit, _RLIMIT_CORE, bytes(16))
        libc.syscall(x86_64.rt_sigaction, signal, bytes(32), 0, 8)
        libc.syscall(x86_64.rt_sigprocmask, _SIG_SETMASK, bytes(8), 0, 8)
        os.kill(os.getpid(), signal)
    os._exit(status >> 8)


def _wait(child: int, wanted: int) -> None:
    _, status = os.waitpid(child, _WALL)
    if status != wanted:
        raise ReplantError(f"the stand-in {child} died", code="stub-died", pid=child)
