"""Registers of a thread, extended state, signal mask, and what becomes of the system call it was in.

A thread is stopped either in user mode or on its way out of a system call, ``orig_rax`` then being its number. What the
kernel would make of an interrupted call when the thread runs on is made here, as the restored thread begins in user
mode (``orig_rax`` -1) and nothing will restart anything for it (``arch_do_signal_or_restart``):

* ``-ERESTARTNOINTR``: the call is entered again: ``rax`` is its number, ``rip`` is back on the ``syscall`` instruction.
* ``-ERESTARTSYS``, ``-ERESTARTNOHAND``: the same, unless a signal is about to be handled. Then it has failed with EINTR
  (``-ERESTARTSYS`` only where the handler lacks SA_RESTART). A pause or sigsuspend entered again after the handler has
  run would wait for ever for the signal that it was there for.
* ``-ERESTART_RESTARTBLOCK``: the kernel knows where to go on (restart_syscall(2)), but only in that very task. BPF
  tells how much time a nanosleep, clock_nanosleep, poll or FUTEX_WAIT had left, and which of them it was if it has
  been restarted before. The restored thread enters the call with what is left now (it ends when the original time is
  up), is interrupted at once, and begins with restart_syscall: the kernel has the very state again, and no memory of
  the program was needed. Waits for an absolute time (clock_nanosleep with TIMER_ABSTIME, FUTEX_WAIT_BITSET, as the C
  library does them) end in time by themselves; where the kernel updates the timeout in place (select, ppoll), what has
  passed since is taken from that. Without
  BPF, and for clocks of CPU time or alarms, the call begins anew, with what remained if it has left that with the
  caller; one that had been restarted before fails with EINTR. With a handler about to run it is EINTR.
* ``-EINTR`` from a call that fails with it whenever its task is stopped (signal(7), "Interruption of system calls … by
  stop signals"): with no handler about to run nobody else can have caused it, so the call is entered again. The kernel
  forgets when it was to end; BPF sees it while the task is being stopped. Without BPF it counts as begun at the freeze;
  on a socket (SO_RCVTIMEO, SO_SNDTIMEO) it then begins with all of its time, as it does under a seccomp filter. It is
  entered on a detour (`replant.tracee.detour`), so that the program finds its registers as they were.

The mask of a thread in sigsuspend, ppoll, pselect or epoll_pwait is the one to be put back after the call, which
PTRACE_GETSIGMASK gives; the call entered again sets its own.
"""

from __future__ import annotations

from errno import EINTR
from struct import Struct
from time import monotonic_ns

from replant.abi import ptrace
from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.libc import syscall_raw
from replant.abi.prctl import ARCH_GET_XCOMP_SUPP
from replant.abi.restart import (
    ERESTART_RESTARTBLOCK,
    ERESTARTNOINTR,
    ERESTARTSYS,
    INTERRUPTED,
    RESTARTS,
    SOCKET_WAITS,
    SYSCALL_SIZE,
    TIMEOUTS,
)
from replant.abi.sigaction import SA_RESTART, SIGACTION, SIGSET, siginfo_head
from replant.abi.timer import TIMER_ABSTIME, timespec
from replant.errors import Blocker, ImageError
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()

_REGISTERS = Struct("<27Q")
_WORD = Struct("<Q")
_CS, _ORIG_RAX, _R8, _R9, _R10, _RAX, _RDI, _RDX, _RIP, _RSI = (
    getattr(ptrace, n) // 8 for n in ("CS", "ORIG_RAX", "R8", "R9", "R10", "RAX", "RDI", "RDX", "RIP", "RSI")
)
_SYSCALL = b"\x0f\x05"
_CLOCKS = 16  # MAX_CLOCKS: no address is as small
_FUTEX_WAIT, _FUTEX_CMD_MASK = 0, 0x7F
_NO_SYSCALL = (1 << 64) - 1
_XSAVE_HEADER = 576  # bytes of the legacy area and the header, which every XSAVE area has
_COMPONENTS = slice(464, 472)  # where ptrace tells XCR0 (linux: arch/x86/kernel/fpu/regset.c, XSTATE_COPY_XSAVE)
_NAMES = {2: "AVX", 5: "AVX-512", 6: "AVX-512", 7: "AVX-512", 9: "protection keys", 17: "AMX", 18: "AMX"}


class State(Frozen):
    """``gprs`` is a user_regs_struct as the thread is to begin with it, ``xstate`` as of NT_X86_XSTATE.

    ``again``: it begins with the call that it was interrupted in; ``left``: the nanoseconds that this had left at the
    freeze, -1 if the call says so itself. ``detours``: a signal frame may lead to the code of such calls.
    """

    gprs: bytes
    xstate: bytes
    sigmask: int
    left: int = -1
    again: bool = False
    detours: bool = False


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
    left, begins = -1, gprs[_RIP]
    if gprs[_RAX] == nr.restart_syscall and gprs[_ORIG_RAX] >> 63 and t.instruction == _SYSCALL:
        # it was about to go on with an interrupted call, by its own instruction: a restored thread that has yet to run
        gprs[_RAX], gprs[_ORIG_RAX] = (1 << 64) - ERESTART_RESTARTBLOCK, nr.restart_syscall
        gprs[_RIP] += SYSCALL_SIZE
    if _interrupted(gprs):
        restarts = bool(answers) and bool(SIGACTION.unpack(answers[0].outs[0])[1] & SA_RESTART)
        left = _settle(gprs, bool(_handled(t)), restarts, t)
    if gprs[_RAX] in TIMEOUTS or gprs[_RAX] in SOCKET_WAITS:
        left = t.left
    gprs[_ORIG_RAX] = _NO_SYSCALL
    again = gprs[_RIP] != begins or left >= 0
    return State(_REGISTERS.pack(*gprs), t.xstate, t.sigmask, left, again, t.leader and t.has_detours)


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


def _settle(gprs: list[int], handled: bool, restarts: bool, t: TaskFacts) -> int:
    """Enter an interrupted call again, or let it have failed; the time that it has left, -1 if nobody has to know.

    ``handled``: a handler is about to run, with SA_RESTART if ``restarts``.
    """
    error, call = _error(gprs), gprs[_ORIG_RAX]
    block = t.restart if error == ERESTART_RESTARTBLOCK and not handled and _has_end(gprs) else None
    if call == nr.restart_syscall:
        call = _CALLS[block.function](gprs) if block else call
    failed = handled and not (error == ERESTARTNOINTR or (error == ERESTARTSYS and restarts))
    if failed or call == nr.restart_syscall:
        gprs[_RAX] = (1 << 64) - EINTR
        return -1
    gprs[_RAX] = call
    gprs[_RIP] -= SYSCALL_SIZE
    if block and block.left >= 0 and _is_relative(gprs, call):
        return block.left
    if error == ERESTART_RESTARTBLOCK:
        _sleep_the_rest(gprs, call)
    return -1


_CALLS: dict[str, Callable[[Sequence[int]], int]] = {
    "hrtimer_nanosleep_restart": lambda gprs: nr.clock_nanosleep if gprs[_RDI] < _CLOCKS else nr.nanosleep,
    "do_restart_poll": lambda gprs: nr.poll,
    "futex_wait_restart": lambda gprs: nr.futex,
}
"""Which call a function of the kernel goes on with, its arguments being in the registers still."""


def _has_end(gprs: Sequence[int]) -> bool:
    """Whether it is worth to ask the kernel: a poll without a timeout has none to tell."""
    return gprs[_ORIG_RAX] != nr.poll or not gprs[_RDX] >> 31 & 1


def _is_relative(gprs: Sequence[int], call: int) -> bool:
    return call != nr.futex or gprs[_RSI] & _FUTEX_CMD_MASK == _FUTEX_WAIT


def landing(state: State, restore: RestoreSide) -> tuple[int, ...]:
    """The call, with its arguments, that the thread is to enter and be interrupted in before it begins; () for none."""
    if state.left < 0 or detour(state, restore):
        return ()
    gprs = _REGISTERS.unpack(state.gprs)
    left = max(0, state.left - restore.elapsed())
    call, rdi, rsi, rdx, r10, r8, r9 = (gprs[i] for i in (_RAX, _RDI, _RSI, _RDX, _R10, _R8, _R9))
    if call == nr.poll:
        return call, rdi, rsi, -(-left // 1_000_000)
    time = restore.place(timespec(left))
    if call == nr.nanosleep:
        return call, time, rsi
    return (call, rdi, rsi, time, r10) if call == nr.clock_nanosleep else (call, rdi, rsi, rdx, time, r8, r9)


def detour(state: State, restore: RestoreSide) -> int:
    """When the call ends that the thread enters on a detour, CLOCK_MONOTONIC in ns; 0 if it is no such call."""
    (call,) = _WORD.unpack_from(state.gprs, ptrace.RAX)
    if state.left < 0 or (call not in TIMEOUTS and call not in SOCKET_WAITS):
        return 0
    return monotonic_ns() + max(0, state.left - restore.elapsed())


def timeout(state: State) -> tuple[int, int]:
    """The address where the call that the thread enters anew finds its timeout, and the unit of its second word in ns.

    (0, 0) if it is none that the kernel has left there what remained at the stop, select(2).
    """
    gprs = _REGISTERS.unpack(state.gprs)
    place, unit = _IN_PLACE.get(gprs[_RAX], (0, 0)) if state.again else (0, 0)
    return (gprs[place], unit) if place and gprs[place] else (0, 0)


_IN_PLACE = {nr.select: (_R8, 1000), nr.pselect6: (_R8, 1), nr.ppoll: (_RDX, 1)}


def _sleep_the_rest(gprs: list[int], call: int) -> None:
    if call == nr.nanosleep and gprs[_RSI]:
        gprs[_RDI] = gprs[_RSI]
    elif call == nr.clock_nanosleep and not gprs[_RSI] & TIMER_ABSTIME and gprs[_R10]:
        gprs[_RDX] = gprs[_R10]


_supported: list[int] = []


def check(state: State, tid: int) -> None:
    """Compare the extended state that there was room for with that of this host: libraries have chosen code by it.

    :raises Blocker: this CPU lacks a component. :raises ImageError: this is no extended state.
    """
    if len(state.xstate) < _XSAVE_HEADER or len(state.gprs) != _REGISTERS.size:
        raise ImageError(f"thread {tid} has {len(state.xstate)} bytes of state", code="image-corrupt", pid=tid)
    if not _supported:
        answer = bytearray(8)
        known = syscall_raw(nr.arch_prctl, ARCH_GET_XCOMP_SUPP, answer) == 0
        _supported.append(int.from_bytes(answer, "little") if known else (1 << 64) - 1)
    missing = int.from_bytes(state.xstate[_COMPONENTS], "little") & ~_supported[0]
    if missing:
        numbers = [number for number in range(64) if missing >> number & 1]
        names = ", ".join(_NAMES.get(number, f"component {number}") for number in numbers)
        raise Blocker(
            f"thread {tid} ran on a CPU with {names}, which this one lacks",
            code="cpu-features",
            pid=tid,
            resource="xstate",
            hint="restore on a CPU with these features, or run the program where it was started without them",
        )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Nothing: the thread gets its registers when everything else is done and it leaves its stub for good."""


def same(before: State, after: State, elapsed: int) -> list[str]:
    """Nothing: a program that runs on changes its registers."""
    return []
