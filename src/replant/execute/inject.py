"""A single system call in a stopped stub, by an instruction that it has: slow, for where no blob is."""

from __future__ import annotations

import os

from replant.abi import x86_64
from replant.journal import DEBUG, current, site
from replant.tracee import ptrace, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_INJECTED = site("inject", "task %p: %n = %d", level=DEBUG)


def interrupted(tid: int, instruction: int, nr: int, *args: int) -> int:
    """What a call gives that is interrupted as soon as it sleeps; the kernel remembers how it would go on.

    The interruption is there before the call is entered, so that it never sleeps; the stop at its exit uses it up.
    """
    regs = ptrace.getregs(tid)
    ptrace.set_call(regs, instruction, nr, *args)
    ptrace.setregs(tid, regs)
    ptrace.cont_syscall(tid)
    wait.until_stopped(tid)
    ptrace.interrupt(tid)
    ptrace.cont_syscall(tid)
    wait.until_stopped(tid)
    result = ptrace.result(ptrace.getregs(tid))
    _INJECTED(current(), tid, nr, result)
    return result


def inject(tid: int, instruction: int, nr: int, *args: int, ok: Sequence[int] = ()) -> int:
    """The result of one call, between its entry and exit stops; the registers are not put back.

    :raises OSError: what the kernel answered, unless the number is in ``ok``.
    """
    regs = ptrace.getregs(tid)
    ptrace.set_call(regs, instruction, nr, *args)
    ptrace.setregs(tid, regs)
    for _ in ("entry", "exit"):
        ptrace.cont_syscall(tid)
        wait.until_stopped(tid)
    result = ptrace.result(ptrace.getregs(tid))
    _INJECTED(current(), tid, nr, result)
    if result < 0 and -result not in ok:
        raise OSError(-result, f"{x86_64.name(nr)} in {tid}: {os.strerror(-result)}")
    return result
