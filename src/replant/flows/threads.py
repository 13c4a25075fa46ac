"""What is known of one frozen thread, gathered when a kind asks for it: the `TaskFacts` of the protocol."""

from __future__ import annotations

from functools import cached_property

from replant.observe import procfs
from replant.tracee import ptrace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.observe.procfs import Stat, Status
    from replant.tracee.task import FrozenTask, FrozenThread


class ThreadView:
    """`TaskFacts` of a stopped thread."""

    def __init__(self, task: FrozenTask, thread: FrozenThread, links: dict[str, int]) -> None:
        self.thread = thread
        self.pid = task.pid
        self.tid = thread.tid
        self.leader = task.pid == thread.tid
        self.alive = True
        self.subreaper = 0
        self._links = links

    def file(self, link: str) -> int:
        """The number of the file description that stands for ``cwd``, ``root`` or ``exe``."""
        return self._links[link]

    @cached_property
    def stat(self) -> Stat:
        """/proc/PID/task/TID/stat."""
        return procfs.stat(self.pid, self.tid)

    @cached_property
    def status(self) -> Status:
        """/proc/PID/task/TID/status."""
        return procfs.status(self.pid, self.tid)

    @cached_property
    def registers(self) -> bytes:
        """The general registers as found at the stop (user_regs_struct)."""
        return bytes(self.thread.registers)

    @cached_property
    def xstate(self) -> bytes:
        """NT_X86_XSTATE: the standard form of XSAVE."""
        return ptrace.getregset(self.tid, ptrace.NT_X86_XSTATE)

    @cached_property
    def sigmask(self) -> int:
        """Blocked signals."""
        return self.thread.sigmask

    @cached_property
    def pending_thread(self) -> Sequence[bytes]:
        """siginfo_t of the signals pending for the thread, in order."""
        return ptrace.peeksiginfo(self.tid, shared=False)

    @cached_property
    def pending_process(self) -> Sequence[bytes]:
        """siginfo_t of the signals pending for the process, in order."""
        return ptrace.peeksiginfo(self.tid, shared=True)

    @cached_property
    def rseq(self) -> tuple[int, int, int]:
        """Address, length and signature of its restartable sequence area, zeros if there is none."""
        return self.thread.rseq

    @cached_property
    def robust_list(self) -> tuple[int, int]:
        """Head and length of its list of robust futexes."""
        return ptrace.get_robust_list(self.tid)
