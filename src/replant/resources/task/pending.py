"""Signals that are pending: to the thread, and with the leader those to the process, with siginfo and in order.

A task may queue any siginfo to itself (rt_sigqueueinfo(2)), and in a stub all signals are blocked, so they stay where
they are put. A signal can be pending without siginfo, if the kernel had no memory for it or the sender's limit was
reached: when it is taken, the kernel says SI_USER from nobody, and so does what is queued here.

A signal of a POSIX timer (SI_TIMER) is put back like any other. Its timer then counts the expiries to come anew, so
what would have been added to the overrun count of this signal comes as a signal of its own.

A SIGSTOP waits only in a process that is stopped already. No mask holds it back, so it is sent by the restorer once the
process is in its stop. Nobody but a tracer could see who sent it.
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.sigaction import bits, siginfo, siginfo_head
from replant.abi.signal import SIGINFO_SIZE, SIGKILL, SIGSTOP
from replant.errors import Blocker, ImageError
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Call, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES = ("room",)
SPOILS: tuple[str, ...] = ()
SETS = ("pending",)
ASKS: tuple[Call, ...] = ()

_SI_TIMER = -2
_UNBLOCKABLE = {SIGKILL: "SIGKILL", SIGSTOP: "SIGSTOP"}


class State(Frozen):
    """siginfo_t of 128 bytes each, first in first out."""

    thread: tuple[bytes, ...]
    process: tuple[bytes, ...]


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: nothing is pending.

    :raises Blocker: SIGKILL or the SIGSTOP of a process that runs: put back, they would act at once.
    """
    thread = _complete(t, t.pending_thread, t.status.sig_pending)
    process = _complete(t, t.pending_process, t.status.shared_pending) if t.leader else ()
    return State(thread, process) if thread or process else None


def _complete(t: TaskFacts, queued: Sequence[bytes], mask: int) -> tuple[bytes, ...]:
    known = {siginfo_head(info)[0] for info in queued}
    bare = [siginfo(signal) for signal in bits(mask) if signal not in known]
    for signal in known.union(bits(mask)) & _UNBLOCKABLE.keys():
        if signal == SIGSTOP and t.stopped:
            continue
        name = _UNBLOCKABLE[signal]
        hint = "try again once it has arrived"
        raise Blocker(f"{name} is pending", code="signal-pending", pid=t.tid, resource=name, hint=hint)
    return (*bare, *queued)


def check(state: State, tid: int) -> None:
    """The kernel reads a whole siginfo_t. :raises ImageError: one of another size."""
    if any(len(info) != SIGINFO_SIZE for info in (*state.thread, *state.process)):
        raise ImageError(f"a pending signal of thread {tid} is no siginfo_t", code="image-corrupt", pid=tid)


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Queue them to oneself, but for what no mask would hold back."""
    tgid = on.call(nr.getpid, why="whose thread this is")
    for info in _blockable(state.thread):
        on.call(nr.rt_tgsigqueueinfo, tgid, tid, siginfo_head(info)[0], info, why="pending signal of the thread")
    for info in _blockable(state.process):
        on.call(nr.rt_sigqueueinfo, tgid, siginfo_head(info)[0], info, why="pending signal of the process")


def _blockable(queue: Sequence[bytes]) -> list[bytes]:
    return [info for info in queue if siginfo_head(info)[0] != SIGSTOP]


def second_stops(state: State, tid: int) -> list[int]:
    """The queues in which a SIGSTOP waits: that of thread ``tid``, and 0 for that of the process."""
    queued = {tid: state.thread, 0: state.process}
    return [owner for owner, queue in queued.items() if len(_blockable(queue)) < len(queue)]


def queues(state: State) -> set[int]:
    """The signals that will be pending."""
    return {siginfo_head(info)[0] for info in (*state.thread, *state.process)}


def same(before: State | None, after: State | None, elapsed: int) -> list[str]:
    """A program that runs takes signals and is sent others; those of one number that are still there are in order.

    Between numbers there is no order to keep: the kernel delivers the lowest first, whichever came first. Signals of
    timers go on being sent, see above.
    """
    was, now = before or State((), ()), after or State((), ())
    return [
        f"the signals pending for the {whose} have changed their order"
        for whose, old, new in (("thread", was.thread, now.thread), ("process", was.process, now.process))
        if _by_number([info for info in old if info in new]) != _by_number([info for info in new if info in old])
    ]


def _by_number(queue: Sequence[bytes]) -> list[bytes]:
    sent = [info for info in queue if siginfo_head(info)[2] != _SI_TIMER]
    return sorted(sent, key=lambda info: siginfo_head(info)[0])
