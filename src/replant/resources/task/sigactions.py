"""What a process does on each signal, rt_sigaction(2): handler, flags, restorer, mask.

Ignoring a signal discards it wherever it is pending, in the queues of all threads: so it is done before these exist.
"""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.abi.sigaction import DEFAULT, SIGACTION, SIGSET
from replant.abi.signal import NSIG, SIGKILL, SIGSTOP
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("alone",)
SPOILS = ("pending",)
SETS = ("dispositions",)

_SIGNALS = tuple(n for n in range(1, NSIG + 1) if n not in (SIGKILL, SIGSTOP))
ASKS = tuple([Call(nr.rt_sigaction, n, 0, Out(SIGACTION.size), SIGSET, why="signal action") for n in _SIGNALS])


class Action(Frozen):
    """One disposition as the kernel has it: ``handler`` is an address, 0 (default) or 1 (ignore)."""

    signal: int
    handler: int
    flags: int
    restorer: int
    mask: int


class State(Frozen):
    """Dispositions that are not all default, by signal number."""

    actions: tuple[Action, ...]


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: every signal has its default action, without flags."""
    raw = [answer.outs[0] for answer in answers]
    if raw.count(DEFAULT) == len(raw):
        return None
    pairs = zip(_SIGNALS, raw, strict=True)
    return State(tuple([Action(signal, *SIGACTION.unpack(data)) for signal, data in pairs if data != DEFAULT]))


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Set them; a stub has the default ones."""
    for a in state.actions:
        data = SIGACTION.pack(a.handler, a.flags, a.restorer, a.mask)
        on.call(nr.rt_sigaction, a.signal, data, 0, SIGSET, why="signal action")
