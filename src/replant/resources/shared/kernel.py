"""The kernel's memory, for what no interface of it tells. Looked at only where something is known to be there."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.observe.bpf.queues import Queues
    from replant.observe.observer import Observer

_observers: list[Observer] = []
os.register_at_fork(after_in_child=_observers.clear)  # a child may be in another pid namespace


def queues(pids: Sequence[int], name: str) -> Queues | None:
    """A reader ``module.Class`` of `replant.observe.bpf` for some processes; None: BPF cannot be used here."""
    from replant.observe.observer import Observer

    if not _observers:  # its programs are loaded once
        _observers.append(Observer("auto"))
    module, _, reader = name.partition(".")
    kind: type[Queues] = getattr(__import__(f"replant.observe.bpf.{module}", fromlist=[reader]), reader)
    return _observers[0].queues(pids, kind)
