"""A single system call in a stopped stub, by an instruction that it has: slow, for where no blob is."""

from __future__ import annotations

import os
from time import monotonic_ns

from replant.abi import x86_64
from replant.journal import current
from replant.tracee import ptrace, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def interrupted(tid: int, instruction: int, nr: int, *args: int) -> int:
    """What a call gives that is interrupted as soon as it sleeps; the kernel remembers how it would go on.

    The interruption is there before the call is entered, so that it never sleeps; the stop at its exit uses it up.
    """
    since = monotonic_ns()
    regs = ptrace.getregs(tid)
    ptrace.set_call(regs, instruction, nr, *args)
    ptrace.setregs(tid, regs)
    ptrace.cont_syscall(tid)
    wait.until_stopped(tid)
    ptrace.interrupt(tid)
    ptrace.cont_syscall(tid)
    wait.until_stopped(tid)
    result = ptrace.result(ptrace.getregs(tid))
    current().call(tid, tid, nr, args, result, ns=monotonic_ns() - since, reason="an interruption", allowed=True)
    return result


def inject(tid: int, instruction: int, nr: int, *args: int, ok: Sequence[int] = ()) -> int:
    """The result of one call, between its entry and exit stops; the registers are not put back.

    :raises OSError: what the kernel answered, unless the number is in ``ok``.
    """
    since = monotonic_ns()
    regs = ptrace.getregs(tid)
    ptrace.set_call(regs, instruction, nr, *args)
    ptrace.setregs(tid, regs)
    for _ in ("entry", "exit"):
        ptrace.cont_syscall(tid)
        wait.until_stopped(tid)
    result = ptrace.result(ptrace.getregs(tid))
    allowed = result >= 0 or -result in ok
    current().call(tid, tid, nr, args, result, ns=monotonic_ns() - since, allowed=allowed)
    if not allowed:
        raise OSError(-result, f"{x86_64.name(nr)} in {tid}: {os.strerror(-result)}")
    return result
