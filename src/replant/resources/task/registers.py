"""Registers of a thread, extended state, signal mask, and what becomes of the system call it was in.

A thread is stopped either in user mode or on its way out of a system call, ``orig_rax`` then being its number. What the
kernel would make of an interrupted call when the thread runs on is made here, as the restored thread begins in user
mode (``orig_rax`` -1) and nothing will restart anything for it (``arch_do_signal_or_restart``):

* ``-ERESTARTNOINTR``: the call is entered again: ``rax`` is its number, ``rip`` is back on the ``syscall`` instruction.
* ``-ERESTARTSYS``, ``-ERESTARTNOHAND``: the same, unless a signal is about to be handled. Then it has failed with EINTR
  (``-ERESTARTSYS`` only where the handler lacks SA_RESTART). A pause or sigsuspend entered again after the handler has
  run would wait for ever for the signal that it was there for.
* ``-ERESTART_RESTARTBLOCK``: the kernel knows where to go on (restart_syscall(2)), but only in that very task. So it is
  the original call that is entered again. nanosleep and clock_nanosleep have left the time that remains with the
  caller, if he gave them room for it: that becomes their request. Waits for an absolute time (clock_nanosleep with
  TIMER_ABSTIME, FUTEX_WAIT_BITSET, as the C library does them) and those that update their timeout in place (select,
  ppoll) end in time by themselves. A relative wait of poll, FUTEX_WAIT, or nanosleep without room begins anew with its
  full time: no interface tells what was left. With a handler about to run it is EINTR.
* ``-EINTR`` from a call that fails with it whenever its task is stopped (signal(7), "Interruption of system calls … by
  stop signals"): with no handler about to run nobody else can have caused it, so the call is entered again. A timeout
  in a register or behind SO_RCVTIMEO begins anew here too.

The mask of a thread in sigsuspend, ppoll, pselect or epoll_pwait is the one to be put back after the call, which
PTRACE_GETSIGMASK gives; the call entered again sets its own.
"""

from __future__ import annotations

from errno import EINTR
from struct import Struct

from replant.abi import ptrace
from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.restart import (
    ERESTART_RESTARTBLOCK,
    ERESTARTNOINTR,
    ERESTARTSYS,
    INTERRUPTED,
    RESTARTS,
    SYSCALL_SIZE,
)
from replant.abi.sigaction import SA_RESTART, SIGACTION, SIGSET, siginfo_head
from replant.abi.timer import TIMER_ABSTIME
from replant.errors import Blocker
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()

_REGISTERS = Struct("<27Q")
_CS, _ORIG_RAX, _R10, _RAX, _RDI, _RDX, _RIP, _RSI = (
    getattr(ptrace, name) // 8 for name in ("CS", "ORIG_RAX", "R10", "RAX", "RDI", "RDX", "RIP", "RSI")
)
_NO_SYSCALL = (1 << 64) - 1


class State(Frozen):
    """``gprs`` is a user_regs_struct as the thread is to begin with it, ``xstate`` as of NT_X86_XSTATE."""

    gprs: bytes
    xstate: bytes
    sigmask: int


def ask(t: TaskFacts) -> list[Call]:
    """The action of the signal that would be handled, where it decides on an interrupted call."""
    signal = _handled(t) if _error(_REGISTERS.unpack(t.registers)) == ERESTARTSYS else 0
    if signal:
        return [Call(nr.rt_sigaction, signal, 0, Out(SIGACTION.size), SIGSET, why="is SA_RESTART set")]
    return []


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept.

    :raises Blocker: the thread runs 32-bit code.
    """
    gprs = list(_REGISTERS.unpack(t.registers))
    if gprs[_CS] != ptrace.USER_CS:
        raise Blocker(
            f"it runs 32-bit code (code segment {gprs[_CS]:#x})",
            code="compat-code",
            pid=t.tid,
            resource="registers",
            hint="only 64-bit programs can be dumped",
        )
    if _interrupted(gprs):
        restarts = bool(answers) and bool(SIGACTION.unpack(answers[0].outs[0])[1] & SA_RESTART)
        _settle(gprs, bool(_handled(t)), restarts)
    gprs[_ORIG_RAX] = _NO_SYSCALL
    return State(_REGISTERS.pack(*gprs), t.xstate, t.sigmask)


def _handled(t: TaskFacts) -> int:
    """The signal that the thread would handle first when it runs on, 0 for none."""
    pending = t.status.sig_pending | t.status.shared_pending
    for info in (*t.pending_thread, *t.pending_process):
        pending |= 1 << siginfo_head(info)[0] - 1
    caught: int = pending & t.status.sig_caught & ~t.sigmask
    return (caught & -caught).bit_length()


def _error(gprs: Sequence[int]) -> int:
    """The error number in rax of a thread that leaves a system call, 0 for none."""
    if gprs[_ORIG_RAX] >> 63:
        return 0
    error = (1 << 64) - gprs[_RAX]
    return error if error < 4096 else 0


def _interrupted(gprs: Sequence[int]) -> bool:
    error = _error(gprs)
    return error in RESTARTS or (error == EINTR and gprs[_ORIG_RAX] in INTERRUPTED)


def _settle(gprs: list[int], handled: bool, restarts: bool) -> None:
    """Enter an interrupted call again, or let it have failed.

    ``handled``: a handler is about to run, with SA_RESTART if ``restarts``.
    """
    error, call = _error(gprs), gprs[_ORIG_RAX]
    if handled and not (error == ERESTARTNOINTR or (error == ERESTARTSYS and restarts)):
        gprs[_RAX] = (1 << 64) - EINTR
        return
    gprs[_RAX] = call
    gprs[_RIP] -= SYSCALL_SIZE
    if error == ERESTART_RESTARTBLOCK:
        _sleep_the_rest(gprs, call)


def _sleep_the_rest(gprs: list[int], call: int) -> None:
    if call == nr.nanosleep and gprs[_RSI]:
        gprs[_RDI] = gprs[_RSI]
    elif call == nr.clock_nanosleep and not gprs[_RSI] & TIMER_ABSTIME and gprs[_R10]:
        gprs[_RDX] = gprs[_R10]


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Nothing: the thread gets its registers when everything else is done and it leaves its stub for good."""


def same(before: State, after: State, elapsed: int) -> list[str]:
    """Nothing: a program that runs on changes its registers."""
    return []
