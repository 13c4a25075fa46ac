"""One thread on its visit to the blob: sent in, let run to its TRAP, taken home."""

from __future__ import annotations

import os
from struct import pack_into, unpack_from
from time import monotonic_ns

from replant.abi import ptrace as abi
from replant.abi.signal import FAULTS, IGNORED_BY_DEFAULT, SIGCONT, SIGKILL, SIGSTOP, STOPPING, bit
from replant.errors import Blocker, Bug, ReplantError

from . import blob, ptrace, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .task import FrozenThread

_ALL = (1 << 64) - 1
_TRAP_FLAG = 0x100  # of eflags: single step
_ARGUMENTS = (abi.RDI, abi.RSI, abi.RDX, abi.R10, abi.R8, abi.R9)
_LOOK_AFTER = 25_000  # nanoseconds


class Overslept(ReplantError):
    """A thread has waited for us in vain, and gone home alone: it is as it was, but not as it was frozen."""

    def __init__(self, thread: FrozenThread) -> None:
        super().__init__(
            f"task {thread.tid} did not wait for us, and has run on",
            code="overslept",
            pid=thread.pid,
            hint="was this process stopped for a while? try again",
        )


class Visitor:
    """A thread that goes inside, with the signal of its TRAPs (0: there is none, it has to be interrupted).

    :raises Blocker: it cannot run code of ours.
    """

    __slots__ = ("_blocked", "_code", "_found", "_running", "signal", "thread")

    def __init__(self, thread: FrozenThread, code: int) -> None:
        refuse_strangers(thread)
        self.thread = thread
        self.signal = trap_signal(thread)
        self._code = code
        self._blocked = False
        self._running = False
        self._found = bytearray()

    def send(self, entry: int, record: int = 0) -> None:
        """Point the thread at an entry of the blob; from here on it finds its way home alone."""
        self._set(entry, ((abi.RBX, record),))

    def call(self, nr: int, args: tuple[int, ...], then: int, after_error: int) -> None:
        """Start one call without a record. The thread would go on at ``then``, or at ``after_error``."""
        values = [(abi.RAX, nr), (abi.R13, self.signal), (abi.R14, then), (abi.R15, after_error)]
        self._set(blob.ONCE, (*values, *zip(_ARGUMENTS, args, strict=False)))
        self.run()

    def result(self) -> int:
        """What the call gave, once it has been waited for."""
        value: int = unpack_from("<q", self._found, abi.RBX)[0]
        return value

    def block_signals(self) -> None:
        """Keep handlers of the program from running meanwhile; SIGSTOP and SIGKILL come through."""
        keep = bit(self.signal) if self.signal else 0
        ptrace.setsigmask(self.thread.tid, _ALL & ~keep)
        self._blocked = True

    def run(self) -> None:
        """Let the thread run to its TRAP."""
        if not self._blocked:
            self.block_signals()
        ptrace.cont(self.thread.tid)
        self._running = True

    def settle(self) -> None:
        """Wait until the thread stands at its TRAP, if it is running.

        :raises TaskGone: it was killed. :raises Bug: our code faults.
        """
        if self._running:
            self._await_signal() if self.signal else self._await_pause()
            self._running = False

    def go_home(self) -> None:
        """Give the thread back what it had. The mask first: without its registers it would restore that itself."""
        ptrace.setsigmask(self.thread.tid, self.thread.sigmask)
        ptrace.setregs(self.thread.tid, self.thread.healed or self.thread.registers)

    def _set(self, entry: int, values: tuple[tuple[int, int], ...]) -> None:
        registers = bytearray(self.thread.registers)
        (flags,) = unpack_from("<Q", registers, abi.EFLAGS)
        pack_into("<Q", registers, abi.EFLAGS, flags & ~_TRAP_FLAG)
        pack_into("<qQ", registers, abi.ORIG_RAX, -1, self._code + entry)
        for offset, value in values:
            pack_into("<Q", registers, offset, value & _ALL)
        ptrace.setregs(self.thread.tid, registers)

    def _await_signal(self) -> None:
        tid = self.thread.tid
        while True:
            status = wait.peek_stop(tid)
            signal = wait.delivery(status)
            if signal == self.signal:
                if self._stands_at(blob.TRAPPED):
                    wait.for_task(tid)  # nobody else of this process shall find it
                    return
                signal = 0  # somebody else's, and nobody minds it
            self._pass_on(status, signal)

    def _await_pause(self) -> None:
        """No signal can tell: look after a while, and after a longer one. To yield can cost many milliseconds."""
        tid, pause = self.thread.tid, _LOOK_AFTER
        while True:
            until = monotonic_ns() + pause
            while monotonic_ns() < until:
                os.sched_yield()
            status = wait.peek(tid, os.WNOHANG)
            if not status:  # an interrupt of a stopped task would come true at its next step
                ptrace.interrupt(tid)
                status = wait.peek_stop(tid)
            if self._stands_at(blob.PAUSED):
                return
            self._pass_on(status, wait.delivery(status))
            pause *= 2

    def _pass_on(self, status: int, signal: int) -> None:
        """Let the thread go on after a stop that is none of ours."""
        if signal in FAULTS:
            raise Bug(f"signal {signal} in our own code inside task {self.thread.tid}", pid=self.thread.pid)
        self.thread.stop_signal = wait.group_stop(status) or self.thread.stop_signal
        if signal == SIGSTOP and self.thread.task.stop_signal:
            self._note_second_stop()
            signal = 0
        ptrace.cont(self.thread.tid, signal)

    def _note_second_stop(self) -> None:
        """Remember a SIGSTOP, which no mask holds back, that was to wait on; the thread's own queue gives its first."""
        tid, noted = self.thread.tid, self.thread.task.second_stops
        own = self.thread.signals(b"SigPnd") & bit(SIGSTOP) and all(queue != tid for queue, _ in noted)
        noted.append((tid if own else 0, ptrace.getsiginfo(tid)))

    def _stands_at(self, place: int) -> bool:
        self._found = ptrace.getregs(self.thread.tid)
        at = unpack_from("<Q", self._found, abi.RIP)[0] - self._code
        if not 0 <= at < blob.END:
            self.thread.load()
            raise Overslept(self.thread)
        return bool(at == place)


def refuse_strangers(thread: FrozenThread) -> None:
    """Refuse to send a thread inside that would not survive it; its seccomp is suspended as long as we trace it.

    If we are killed in these moments its own filter decides on the few calls of its way home.

    :raises Blocker: 32-bit code, syscall user dispatch, seccomp that we may not suspend.
    """
    if unpack_from("<Q", thread.registers, abi.CS)[0] != abi.USER_CS:
        raise _stranger(thread, "runs 32-bit code", "32-bit")
    if thread.field(b"Seccomp") != b"0":
        _suspend_seccomp(thread)
    if ptrace.dispatches_syscalls(thread.tid):
        raise _stranger(thread, "has its system calls dispatched to itself", "syscall-user-dispatch")


_UNIFIED = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


def refuse_frozen(pid: int) -> None:
    """Refuse a process whose control group is frozen: it stops, but never runs. :raises Blocker:"""
    path = os.fsdecode((b"\n" + _read(f"/proc/{pid}/cgroup")).rpartition(b"\n0::")[2].strip())
    for folder in _UNIFIED if len(path) > 1 else ():
        if b"frozen 1" in _read(f"{folder}{path}/cgroup.events"):
            raise Blocker(
                f"process {pid} is in the control group {path}, which is frozen",
                code="cgroup-frozen",
                pid=pid,
                resource=path,
                hint=f"thaw it for the dump: echo 0 > {folder}{path}/cgroup.freeze",
            )


def _read(path: str) -> bytes:
    """A small file; nothing of one that is not there (any more)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)


def _suspend_seccomp(thread: FrozenThread) -> None:
    try:
        thread.set_option(ptrace.O_SUSPEND_SECCOMP)
    except OSError as e:
        raise Blocker(
            f"task {thread.tid} is under seccomp, which cannot be suspended: {e.strerror}",
            code="seccomp",
            pid=thread.pid,
            resource=f"task {thread.tid}",
            hint="it takes CAP_SYS_ADMIN, and no seccomp of one's own: run replant outside of the container",
        ) from e


def _stranger(thread: FrozenThread, what: str, code: str) -> Blocker:
    hint = "nothing can be run safely inside such a task; end it before the dump"
    return Blocker(f"task {thread.tid} {what}", code=code, pid=thread.pid, resource=f"task {thread.tid}", hint=hint)


def trap_signal(thread: FrozenThread) -> int:
    """A signal that means nothing to the process, and that the thread does not block; 0 if there is none."""
    caught, ignored = thread.signals(b"SigCgt"), thread.signals(b"SigIgn")
    number: int
    for number in (*IGNORED_BY_DEFAULT, *range(1, 32)):
        harmless = (number in IGNORED_BY_DEFAULT and not caught & bit(number)) or ignored & bit(number)
        special = number in STOPPING or number in (SIGCONT, SIGKILL) or number in FAULTS
        if harmless and not special and not thread.sigmask & bit(number):
            return number
    return 0
