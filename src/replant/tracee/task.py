"""What a freeze holds: threads and processes that are stopped by us, as they were found."""

from __future__ import annotations

import os
from struct import pack_into, unpack, unpack_from

from replant.abi.ptrace import ORIG_RAX, RIP
from replant.errors import TaskGone

from . import memory, ptrace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .inside import Inside

_RSEQ_CS = 8  # offset in struct rseq (linux/rseq.h)


class FrozenThread:
    """A stopped thread.

    ``registers``: user_regs_struct (216 bytes) as found at the stop; in a restartable sequence rip is where that is
    aborted to, which the kernel does on the way back to user mode, but forgets once the thread has run elsewhere.
    ``healed``: the same, about to repeat a system call that the stop has ended with EINTR, if it has (see `resume`).
    ``options``: PTRACE_O_… that are set. ``sigmask``: blocked signals. ``rseq``: address,
    length and signature of its rseq area, zeros if there is none. ``stop_signal``: of a group-stop that it was in.
    ``end``: when a call that it is to repeat ends, CLOCK_MONOTONIC in ns, 0 if never or if the kernel knows.
    """

    __slots__ = (
        "_status",
        "end",
        "healed",
        "options",
        "pid",
        "registers",
        "rseq",
        "sigmask",
        "stop_signal",
        "task",
        "tid",
    )

    def __init__(self, task: FrozenTask, tid: int) -> None:
        self.task = task
        self.pid = task.pid
        self.tid = tid
        self.stop_signal = 0
        self.options = 0
        self.registers = bytearray()
        self.healed = bytearray()
        self.end = 0
        self.sigmask = 0
        self.rseq = (0, 0, 0)
        self._status = b""

    def load(self) -> None:
        """Read what is as it is at the stop. :raises TaskGone:"""
        self._status = b""
        self.healed = bytearray()
        self.end = 0
        self.registers = ptrace.getregs(self.tid)
        self.sigmask = ptrace.getsigmask(self.tid)
        self.rseq = ptrace.get_rseq(self.tid)
        if unpack_from("<q", self.registers, ORIG_RAX)[0] < 0:  # no system call is allowed in a sequence
            self._abort_sequence()

    def set_option(self, option: int) -> None:
        """Set a PTRACE_O_… besides those that are set. :raises TaskGone:"""
        if not self.options & option:
            ptrace.set_options(self.tid, self.options | option)
            self.options |= option

    @property
    def rip(self) -> int:
        """Where it was found."""
        value: int = unpack_from("<Q", self.registers, RIP)[0]
        return value

    @property
    def status(self) -> bytes:
        """/proc/PID/task/TID/status, as when first asked for. :raises TaskGone:"""
        if not self._status:
            self._status = read_status(self.pid, self.tid)
        return self._status

    def field(self, name: bytes) -> bytes:
        """A line of ``status``: ``Seccomp``, …"""
        return field(self.status, name)

    def signals(self, name: bytes) -> int:
        """A set of signals in ``status``: SigPnd, ShdPnd, SigBlk, SigIgn, SigCgt."""
        return int(field(self.status, name), 16)

    def _abort_sequence(self) -> None:
        area = self.rseq[0]
        try:
            section = unpack("<Q", memory.read(self.pid, area + _RSEQ_CS, 8))[0] if area else 0
            if section:
                start, length, abort = unpack("<8xQQQ", memory.read(self.pid, section, 32))
                if 0 <= self.rip - start < length:
                    pack_into("<Q", self.registers, RIP, abort)
        except OSError:
            pass  # an area that is not mapped any more: the kernel will tell the program with a SIGSEGV

    def __repr__(self) -> str:
        return f"FrozenThread({self.tid})"


class FrozenTask:
    """A process of a frozen tree, all its threads stopped, its leader first; a zombie has none.

    ``second_stops``: SIGSTOPs that waited in the process, stopped as it was, and were taken while it was asked: the
    thread whose queue it was (0: that of the process), and siginfo_t.
    """

    __slots__ = ("children", "inside", "pid", "second_stops", "threads", "zombie")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.threads: list[FrozenThread] = []
        self.children: list[int] = []
        self.zombie = False
        self.second_stops: list[tuple[int, bytes]] = []
        self.inside: Inside | None = None  # open while it is being asked

    @property
    def stop_signal(self) -> int:
        """The signal of the group-stop that the process was in, 0 if it was running."""
        return max((thread.stop_signal for thread in self.threads), default=0)

    def __repr__(self) -> str:
        return f"FrozenTask({self.pid}{', zombie' if self.zombie else ''}, {len(self.threads)} threads)"


def read_status(pid: int, tid: int) -> bytes:
    """/proc/PID/task/TID/status. :raises TaskGone:"""
    try:
        fd = os.open(f"/proc/{pid}/task/{tid}/status", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, 8192)
        finally:
            os.close(fd)
    except (FileNotFoundError, ProcessLookupError):
        raise TaskGone(tid, "its status was read") from None


def field(status: bytes, name: bytes) -> bytes:
    """A line of a status file, without its name."""
    start = status.index(b"\n" + name + b":\t") + len(name) + 3
    return status[start : status.index(b"\n", start)]
