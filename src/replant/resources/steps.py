"""What a process does to become what it was: kinds of `replant.resources.task` and a few steps besides, in order."""

from __future__ import annotations

from replant.resources import registry, task
from replant.resources.order import Given, Order, arranged

#: What a process does besides its kinds, in the same order as they. Extended registers have the rights of protection
#: keys; what `settle` of kinds does needs everything else of the restore to be closed.
STEPS = {
    "family": Given(gives=("family",), spoils=("dispositions", "pending")),
    "descriptors": Given(uses=("room", "privilege", "open"), spoils=("root",)),
    "mappings": Given(gives=("writable",), uses=("mapping", "room", "privilege", "open"), spoils=("bare",)),
    "contents": Given(uses=("writable", "access", "open"), spoils=("empty",)),
    "protections": Given(gives=("protected",), uses=("mapping",), spoils=("writable",)),
    "advice": Given(gives=("memory",), uses=("protected", "room", "privilege")),
    "threads": Given(gives=("threads",), uses=("clone", "room", "privilege"), spoils=("alone",)),
    "extended state": Given(spoils=("access",), scope="thread"),
    "closing": Given(spoils=("open",)),
}
_order: list[Order] = []


def process_order() -> Order:
    """The order of all kinds of `replant.resources.task` and all `STEPS`, in a process and its threads."""
    if not _order:
        _order.append(arranged({**registry.task_kinds(), **STEPS}, task.HOLDS, task.OF_A_THREAD))
    return _order[0]
