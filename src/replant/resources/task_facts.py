"""What a kind of `replant.resources.task` is told of a thread; see `replant.resources.protocol`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Protocol

    from replant.observe.bpf.restarts import Restart

else:
    Protocol = object


class TaskFacts(Protocol):
    """A thread as the dump sees it under freeze."""

    pid: int
    tid: int
    leader: bool
    alive: bool

    @property
    def stat(self) -> Any:
        """observe.procfs.Stat of this thread."""
        ...

    @property
    def status(self) -> Any:
        """observe.procfs.Status of this thread."""
        ...

    @property
    def mappings(self) -> Sequence[Any]:
        """observe.procfs.Mapping of its address space, in order of address."""
        ...

    @property
    def registers(self) -> bytes:
        """user_regs_struct as found at the stop."""
        ...

    @property
    def instruction(self) -> bytes:
        """The two bytes of code at its instruction pointer."""
        ...

    @property
    def restart(self) -> Restart | None:
        """How the system call that its stop interrupted goes on; None where BPF cannot be used, or if there is none."""
        ...

    @property
    def left(self) -> int:
        """Nanoseconds that a call which the thread is to repeat had left at the freeze; -1: no such call, or no end."""
        ...

    @property
    def has_detours(self) -> bool:
        """Whether its process has the code for such calls, to which a signal frame may lead."""
        ...

    @property
    def xstate(self) -> bytes:
        """NT_X86_XSTATE."""
        ...

    @property
    def sigmask(self) -> int:
        """Blocked signals."""
        ...

    @property
    def pending_thread(self) -> Sequence[bytes]:
        """siginfo_t of 128 bytes each, in order."""
        ...

    @property
    def pending_process(self) -> Sequence[bytes]:
        """siginfo_t of 128 bytes each, in order."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether its process is stopped by a signal."""
        ...

    @property
    def rseq(self) -> tuple[int, int, int]:
        """Address, length, signature; zeros if none is registered."""
        ...

    @property
    def seccomp_filters(self) -> Sequence[tuple[int, bytes]]:
        """Flags and instructions of its seccomp filters, the oldest first. :raises OSError: they cannot be read."""
        ...

    @property
    def robust_list(self) -> tuple[int, int]:
        """Address and length."""
        ...

    def file(self, link: str) -> int:
        """The number of the file description that stands for ``cwd``, ``root`` or ``exe``."""
        ...
