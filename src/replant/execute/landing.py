"""The landing: every stub gets the registers of the task that it stands for, and nothing of ours stays mapped.

Until the last step all stubs are stopped and die with the restorer; `release` lets go of them one after another, and
from its first detach on the tree is alive.
"""

from __future__ import annotations

import os
import struct

from replant.abi import x86_64
from replant.errors import Bug
from replant.tracee import ptrace, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replant.execute.arena import Arena
    from replant.model.tree import Task

_SIGSTOP = 19


class Registers:
    """What a thread lands with: user_regs_struct and blocked signals."""

    __slots__ = ("gprs", "sigmask", "tid")

    def __init__(self, tid: int, gprs: bytes, sigmask: int) -> None:
        self.tid, self.gprs, self.sigmask = tid, gprs, sigmask


def land(
    tasks: Sequence[Task], registers: Callable[[int], Registers], vdso: Callable[[int], int], arena: Arena
) -> None:
    """Set the registers of all threads, and unmap the arena in every process by its own vDSO's instruction.

    ``vdso`` gives the address of a ``syscall`` instruction in a process. Threads leave the arena before it goes.
    """
    for task in tasks:
        for tid in task.threads[1:]:
            _set(registers(tid))
    for step in (0, 1):
        for task in tasks:
            if step == 0:
                regs = ptrace.getregs(task.pid)
                ptrace.set_call(regs, vdso(task.pid), x86_64.munmap, arena.address, arena.size)
                ptrace.setregs(task.pid, regs)
            ptrace.cont_syscall(task.pid)
        for task in tasks:
            wait.until_stopped(task.pid)
    for task in tasks:
        result = ptrace.result(ptrace.getregs(task.pid))
        if result:
            raise Bug(f"the arena cannot be unmapped in {task.pid}: {os.strerror(-result)}", pid=task.pid)
        _set(registers(task.pid))


def _set(r: Registers) -> None:
    regs = bytearray(r.gprs)
    struct.pack_into("<q", regs, ptrace.ORIG_RAX, -1)  # not in a system call: nothing for the kernel to restart
    ptrace.setregs(r.tid, regs)
    ptrace.setsigmask(r.tid, r.sigmask)


def release(tasks: Sequence[Task], stop: bool) -> None:
    """Let go of all threads; who was stopped, or everybody if ``stop``, stays stopped."""
    for task in tasks:
        if stop or task.state == "T":
            os.kill(task.pid, _SIGSTOP if stop else task.stop_signal)
    for task in tasks:
        for tid in reversed(task.threads):
            ptrace.detach(tid)
