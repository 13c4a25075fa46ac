"""The landing: every stub gets the registers of the task that it stands for, and nothing of ours stays mapped.

Until the last step all stubs are stopped and die with the restorer; `release` lets go of them one after another, and
from its first detach on the tree is alive.
"""

from __future__ import annotations

import os
import struct

from replant.abi import ptrace as abi
from replant.abi import x86_64
from replant.abi.libc import syscall
from replant.abi.restart import ERESTART_RESTARTBLOCK, SYSCALL_SIZE
from replant.errors import Blocker, Bug
from replant.execute.inject import inject, interrupted
from replant.journal import DEBUG, current, site
from replant.tracee import detour, memory, ptrace, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replant.execute.arena import Arena
    from replant.model.tree import Task

_LANDED = site("land", "task %p has its registers", level=DEBUG)
_RELEASED = site("release", "task %p runs", level=DEBUG)
_SIGSTOP, _SIGCHLD = 19, 17
_SECOND = 1_000_000_000
_P_PID, _TAKE = 1, 0x3  # WSTOPPED, WNOHANG


class Registers:
    """What a thread lands with: user_regs_struct and blocked signals.

    ``entered``: the system call, with its arguments, that it has been interrupted in, which ``gprs`` would enter anew.
    ``end``: of the call that it makes on a detour, CLOCK_MONOTONIC in ns (0: none); ``detours``: it needs their code.
    ``timeout``: the address (0: none) of seconds and parts of so many ns from which these ns are to be taken.
    """

    __slots__ = ("detours", "end", "entered", "gprs", "sigmask", "tid", "timeout")

    def __init__(
        self,
        tid: int,
        gprs: bytes,
        sigmask: int,
        entered: tuple[int, ...] = (),
        timeout: tuple[int, int, int] = (0, 0, 0),
        end: int = 0,
        detours: bool = False,
    ) -> None:
        self.tid, self.gprs, self.sigmask, self.entered, self.timeout = tid, gprs, sigmask, entered, timeout
        self.end, self.detours = end, detours

    def goes_on(self, result: int) -> None:
        """What the call gave: it is to be restarted, or that is its result."""
        gprs = bytearray(self.gprs)
        if result == -ERESTART_RESTARTBLOCK:
            struct.pack_into("<Q", gprs, abi.RAX, x86_64.restart_syscall)
        else:
            struct.pack_into("<q", gprs, abi.RAX, result)
            (rip,) = struct.unpack_from("<Q", gprs, abi.RIP)
            struct.pack_into("<Q", gprs, abi.RIP, rip + SYSCALL_SIZE)
        self.gprs = bytes(gprs)


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
        own = {}
        for task in tasks:
            for tid in task.threads:
                registers = self._registers(tid)
                if registers.timeout[0]:
                    _shorten(tid, *registers.timeout)
                if registers.entered:
                    registers.goes_on(interrupted(tid, self._instruction(task.pid), *registers.entered))
                _lay_detour(task.pid, registers)
                if tid == task.pid:
                    own[tid] = registers
                else:
                    _set(registers)
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
            _set(own[task.pid])

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


def _lay_detour(pid: int, registers: Registers) -> None:
    try:
        if registers.detours:
            detour.put(pid)
        if registers.end:
            registers.gprs = bytes(detour.begin(registers.tid, pid, registers.gprs, registers.end))
    except (OSError, Blocker):
        pass  # no room on its stack, no vDSO, or a filter: the call begins with all of its time


def _shorten(tid: int, address: int, unit: int, passed: int) -> None:
    """Take the time that has passed from a timeout that the kernel has updated in place."""
    try:
        seconds, parts = struct.unpack("<qq", memory.read(tid, address, 16))
        left = max(0, seconds * _SECOND + parts * unit - passed)
        memory.write(tid, address, struct.pack("<qq", left // _SECOND, left % _SECOND // unit))
    except OSError:
        pass  # it is not the program's to write to, so that the kernel has not updated it either


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
