"""Contexts of asynchronous IO, io_setup(2): address, size, position, and the events that nobody has fetched yet.

A context is known by the address of its ring, which is mapped and follows mremap(2). The kernel keeps its own copy of
the position at which it writes, so as many requests that do nothing are made as lead there, and the contents are put
back. How many requests are in flight only the kernel's memory tells (BPF): with any the process is refused, and where
that cannot be read as well. The ring of a parent that a child has inherited has no context there, and is refused.
"""

from __future__ import annotations

import struct

from replant.abi import mman
from replant.abi import x86_64 as nr
from replant.abi.call import At
from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.resources.shared import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from replant.abi.call import Answer, Call, Track
    from replant.observe.procfs import Mapping
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("memory", "access", "open", "room", "privilege")
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()

_HEAD = struct.Struct("=8I")  # struct aio_ring: id, nr, head, tail, magic, compat, incompat, header_length
_MAGIC = 0xA10A10A1
_LINK = "/[aio] (deleted)"
_MOST = 1 << 16
_KEPT_FROM, _EVENTS = 8, 32  # the kernel finds a context by the first number, which is this kernel's own


class Ring(Frozen):
    """``data`` is the whole ring, ``requests`` how many the context takes."""

    start: int
    requests: int
    data: bytes


class State(Frozen):
    """All contexts, in order of address."""

    rings: tuple[Ring, ...]


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: it has none. :raises Blocker: requests are in flight, or that cannot be told."""
    mapped = [m for m in t.mappings if m.path == _LINK]
    if not mapped:
        return None
    reader: Any = kernel.queues([t.pid], "aio.AioContexts")
    if reader is None:
        raise _refused(t, mapped[0], "it has asynchronous IO, and only BPF can tell whether requests are in flight")
    contexts = {c.start: c for c in reader.contexts(t.pid)}
    with open(f"/proc/{t.pid}/mem", "rb", buffering=0) as memory:
        return State(tuple([_ring(t, m, contexts.get(m.start), memory) for m in mapped]))


def _ring(t: TaskFacts, m: Mapping, context: Any, memory: Any) -> Ring:
    memory.seek(m.start)
    data: bytes = memory.read(m.end - m.start)
    _, slots, head, tail, magic, *_ = _HEAD.unpack_from(data)
    if context is None:
        raise _refused(t, m, "it has the ring of asynchronous IO of another process")
    if context.in_flight:
        raise _refused(t, m, f"{context.in_flight} requests of asynchronous IO are in flight")
    if magic != _MAGIC or not max(head, tail) < slots <= _MOST:
        raise _refused(t, m, "its ring of asynchronous IO is damaged, or larger than can be made again")
    return Ring(m.start, context.requests, data)


def _refused(t: TaskFacts, m: Mapping, why: str) -> Blocker:
    where = f"mapping {m.start:x}-{m.end:x}"
    hint = "dump again when its IO is done"
    return Blocker(f"{where}: {why}", code="aio", pid=t.pid, resource=where, hint=hint)


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Make each context, move its ring, lead it to its position, put back what is in it."""
    for ring in state.rings:
        _make(ring, tid, on, restore)


def _make(ring: Ring, tid: int, on: Track, restore: RestoreSide) -> None:
    address, length = restore.place(bytes(8)), len(ring.data)
    on.call(nr.io_setup, ring.requests, address, why="context of asynchronous IO")
    move = mman.MREMAP_MAYMOVE | mman.MREMAP_FIXED
    on.call(nr.mremap, At(address), length, length, move, ring.start, why="its ring, to where it was")
    _, slots, head, tail, *_ = _HEAD.unpack_from(ring.data)
    _lead(ring.start, head, (tail - head) % slots, on, restore)
    data = restore.place(ring.data)
    parts = ((_KEPT_FROM, 8), (_EVENTS, length - _EVENTS))
    vector = restore.place(b"".join([struct.pack("=QQ", data + at, size) for at, size in parts]))
    there = restore.place(b"".join([struct.pack("=QQ", ring.start + at, size) for at, size in parts]))
    on.call(nr.process_vm_writev, tid, vector, len(parts), there, len(parts), 0, why="position and events")


def _lead(context: int, fetched: int, waiting: int, on: Track, restore: RestoreSide) -> None:
    """Requests to read nothing from the page store: so many that are fetched, and so many that are not."""
    pages = restore.pages if isinstance(restore.pages, int) else 0
    request = restore.place(struct.pack("=QIIHhIQQqQII", 0, 0, 0, 0, 0, pages, 0, 0, 0, 0, 0, 0))
    pointer, event = restore.place(struct.pack("=Q", request)), restore.place(bytes(32))
    for number in range(fetched + waiting):
        on.call(nr.io_submit, context, 1, pointer, why="a step of its position")
        if number < fetched:
            on.call(nr.io_getevents, context, 1, 1, event, 0, why="a step of its position")


def same(before: State | None, after: State | None, elapsed: int) -> list[str]:
    """Addresses and sizes; events come and are fetched."""
    old, new = ([(r.start, r.requests, len(r.data)) for r in s.rings] if s else [] for s in (before, after))
    return [f"contexts (address, requests, size) were {old}, are {new}"] if old != new else []
