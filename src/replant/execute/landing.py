"""The landing: every stub gets the registers of the task that it stands for, and nothing of ours stays mapped.

Until the last step all stubs are stopped and die with the restorer; `release` lets go of them one after another, and
from its first detach on the tree is alive.
"""

from __future__ import annotations

import os
import struct

from replant.abi import x86_64
from replant.abi.libc import syscall
from replant.errors import Bug
from replant.execute.inject import inject
from replant.journal import DEBUG, current, site
from replant.tracee import ptrace, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replant.execute.arena import Arena
    from replant.model.tree import Task

_LANDED = site("land", "task %p has its registers", level=DEBUG)
_RELEASED = site("release", "task %p runs", level=DEBUG)
_SIGSTOP, _SIGCHLD = 19, 17
_P_PID, _TAKE = 1, 0x3  # WSTOPPED, WNOHANG


class Registers:
    """What a thread lands with: user_regs_struct and blocked signals."""

    __slots__ = ("gprs", "sigmask", "tid")

    def __init__(self, tid: int, gprs: bytes, sigmask: int) -> None:
        self.tid, self.gprs, self.sigmask = tid, gprs, sigmask


class Landing:
    """``registers`` tells those of a thread, ``instruction`` the address of a ``syscall`` in a process's own vDSO."""

    def __init__(self, arena: Arena, registers: Callable[[int], Registers], instruction: Callable[[int], int]) -> None:
        self._arena = arena
        self._registers = registers
        self._instruction = instruction
        self._sigchld = arena.place(struct.pack("<Q", 1 << _SIGCHLD - 1))
        self._at_once = arena.place(bytes(16))

    def land(self, tasks: Sequence[Task]) -> None:
        """Registers for all threads, no arena for any process. Threads leave the arena before it goes."""
        for task in tasks:
            for tid in task.threads[1:]:
                _set(self._registers(tid))
        for step in (0, 1):
            for task in tasks:
                if step == 0:
                    self._unmap(task.pid)
                ptrace.cont_syscall(task.pid)
            for task in tasks:
                wait.until_stopped(task.pid)
        for task in tasks:
            result = ptrace.result(ptrace.getregs(task.pid))
            if result:
                raise Bug(f"the arena cannot be unmapped in {task.pid}: {os.strerror(-result)}", pid=task.pid)
            _set(self._registers(task.pid))

    def _unmap(self, pid: int) -> None:
        regs = ptrace.getregs(pid)
        ptrace.set_call(regs, self._instruction(pid), x86_64.munmap, self._arena.address, self._arena.size)
        ptrace.setregs(pid, regs)

    def forget(self, parent: Task, stopped: Sequence[Task], keep: bool) -> None:
        """Take from a parent what the stops just made have sent it.

        Stops of which it knew are taken from wait(2); the SIGCHLD too, unless it has one pending anyway (``keep``).
        """
        instruction = self._instruction(parent.pid)
        for child in stopped:
            if child.stop_told:
                inject(parent.pid, instruction, x86_64.waitid, _P_PID, child.pid, 0, _TAKE, 0)
        if not keep:
            call = (x86_64.rt_sigtimedwait, self._sigchld, 0, self._at_once, 8)
            inject(parent.pid, instruction, *call, ok=(11,))  # EAGAIN: it had NOCLDSTOP set


def stop(task: Task, signal: int) -> None:
    """Bring a landed process into the group-stop that ``signal`` makes; it stays traced, and stops again on detach."""
    syscall(x86_64.tgkill, task.pid, task.pid, _SIGSTOP)
    ptrace.cont(task.pid)
    wait.until_stopped(task.pid)
    ptrace.cont(task.pid, signal)
    for tid in task.threads[1:]:
        ptrace.cont(tid)
    for tid in task.threads:
        wait.until_stopped(tid)


def _set(r: Registers) -> None:
    regs = bytearray(r.gprs)
    struct.pack_into("<q", regs, ptrace.ORIG_RAX, -1)  # not in a system call: nothing for the kernel to restart
    ptrace.setregs(r.tid, regs)
    ptrace.setsigmask(r.tid, r.sigmask)
    _LANDED(current(), r.tid)


def release(tasks: Sequence[Task], halt: bool) -> None:
    """Let go of all threads; with ``halt`` everybody stops by SIGSTOP before another instruction."""
    if halt:
        for task in tasks:
            for tid in task.threads if task.state != "T" else ():
                syscall(x86_64.tgkill, task.pid, tid, _SIGSTOP)
    for task in reversed(tasks):
        for tid in reversed(task.threads):
            ptrace.detach(tid)
            _RELEASED(current(), tid)
