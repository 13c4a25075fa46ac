"""What is known of one frozen thread, gathered when a kind asks for it: the `TaskFacts` of the protocol."""

from __future__ import annotations

from replant.observe import procfs
from replant.observe.procfs.status import StatusText
from replant.tracee import detour, memory, ptrace
from replant.tracee.task import read_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from functools import cached_property as once
    from typing import Any

    from replant.observe.bpf.restarts import Restart
    from replant.observe.procfs import Mapping, Stat, Status
    from replant.tracee.task import FrozenTask, FrozenThread
else:

    class once:
        """functools.cached_property, whose module takes longer to import than a small tree to dump."""

        def __init__(self, read):
            self.read = read
            self.__doc__ = read.__doc__

        def __get__(self, view, owner=None):
            value = view.__dict__[self.read.__name__] = self.read(view)
            return value


class ThreadView:
    """`TaskFacts` of a stopped thread."""

    def __init__(
        self,
        task: FrozenTask,
        thread: FrozenThread,
        links: dict[str, int],
        mappings: Sequence[Mapping],
        restart: Callable[[int], Restart | None],
        clock: int,
        stat: Stat | None = None,
    ) -> None:
        """``stat``: of the thread, where it has been read already. ``restart`` tells of a thread when asked.

        ``clock``: CLOCK_MONOTONIC in ns at the freeze.
        """
        self.mappings = mappings
        if stat is not None:
            self.stat = stat
        self.thread = thread
        self.pid = task.pid
        self.tid = thread.tid
        self.leader = task.pid == thread.tid
        self.alive = True
        self.subreaper = False
        self._links = links
        self._restart = restart
        self._clock = clock

    def file(self, link: str) -> int:
        """The number of the file description that stands for ``cwd``, ``root`` or ``exe``."""
        return self._links[link]

    @once
    def stat(self) -> Stat:
        """/proc/PID/task/TID/stat."""
        return procfs.stat(self.pid, self.tid)

    @once
    def status(self) -> Status:
        """/proc/PID/task/TID/status, each field parsed when a kind looks at it.

        Of signals that were pending at the stop, SIGSTOP may have been taken while the thread was asked: look again.
        """
        stale = self.thread.signals(b"SigPnd") or self.thread.signals(b"ShdPnd")
        data = read_status(self.pid, self.tid) if stale else self.thread.status
        return StatusText(data)  # type: ignore[return-value]

    @once
    def registers(self) -> bytes:
        """The general registers as found at the stop (user_regs_struct)."""
        return bytes(self.thread.registers)

    @once
    def instruction(self) -> bytes:
        """The two bytes of code at its instruction pointer."""
        return memory.read(self.pid, self.thread.rip, 2)

    @once
    def restart(self) -> Restart | None:
        """How the system call that the stop interrupted goes on."""
        return self._restart(self.tid)

    @once
    def left(self) -> int:
        """Nanoseconds that a call which it is to repeat had left at the freeze; -1: no such call, or it has no end."""
        return max(0, self.thread.end - self._clock) if self.thread.end else -1

    @once
    def has_detours(self) -> bool:
        """Whether its process has the code of `replant.tracee.detour`."""
        return any(detour.has_code(self.pid, m.start) for m in reversed(self.mappings) if m.path == "[vdso]")

    @once
    def xstate(self) -> bytes:
        """NT_X86_XSTATE: the standard form of XSAVE."""
        return ptrace.getregset(self.tid, ptrace.NT_X86_XSTATE)

    @once
    def sigmask(self) -> int:
        """Blocked signals."""
        return self.thread.sigmask

    @once
    def pending_thread(self) -> Sequence[bytes]:
        """siginfo_t of the signals pending for the thread, in order."""
        return self._queue(self.tid, shared=False)

    @once
    def pending_process(self) -> Sequence[bytes]:
        """siginfo_t of the signals pending for the process, in order."""
        return self._queue(0, shared=True)

    def _queue(self, owner: int, shared: bool) -> Sequence[bytes]:
        taken = [info for queue, info in self.thread.task.second_stops if queue == owner]
        return ptrace.peeksiginfo(self.tid, shared) + taken

    @once
    def stopped(self) -> bool:
        """Whether its process is in a group-stop."""
        return self.thread.task.stop_signal != 0

    @once
    def rseq(self) -> tuple[int, int, int]:
        """Address, length and signature of its restartable sequence area, zeros if there is none."""
        return self.thread.rseq

    @once
    def seccomp_filters(self) -> Sequence[tuple[int, bytes]]:
        """Flags and instructions of its seccomp filters, the oldest first."""
        return ptrace.seccomp_filters(self.tid)

    @once
    def robust_list(self) -> tuple[int, int]:
        """Head and length of its list of robust futexes."""
        return ptrace.get_robust_list(self.tid)


class DeadView:
    """`TaskFacts` of a zombie: only what /proc still tells of it."""

    leader, alive = True, False

    def __init__(self, pid: int) -> None:
        self.pid = self.tid = pid
        self.status: Status = StatusText(read_status(pid, pid))  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"process {self.pid} is dead: nobody knows its {name} any more")
