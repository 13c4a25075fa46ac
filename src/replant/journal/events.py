"""What a reader makes of records: sites with their words, events with their arguments."""

from __future__ import annotations

from struct import Struct

from replant.journal import sites
from replant.journal.layout import BATCH, BATCH_ARGS, CALL, ERROR_OK, HEAD, ROOM, SLOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_RUN = -(1 << 63)
"""The result of a record that has not run, or does not keep its result."""
LOADED = 0x3F
"""Flags of a record: a bit for each argument that is the address of its value."""


class Damaged(ValueError):
    """A journal is not what a writer leaves, whatever moment it was killed at."""

    code = "journal-damaged"


class Site:
    """A registered event as its definition says it; ``form`` is its words, ``place`` where in the source it is."""

    __slots__ = ("_integers", "_texts", "form", "kind", "level", "number", "place", "signature", "textless", "unpack")

    def __init__(self, number: int, kind: str, level: int, form: str, place: str) -> None:
        self.number = number
        self.kind = kind
        self.level = level
        self.form = form
        self.place = place
        self.signature = sites.signature(form)
        self._integers = [i for i, c in enumerate(self.signature) if c in sites.INTEGERS]
        self._texts = [i for i, c in enumerate(self.signature) if c in sites.TEXTS]
        self.textless = not self._texts  # `unpack` gives all the arguments
        self.unpack = Struct(f"<{len(self._integers)}q").unpack_from

    def arguments(self, args: bytes, size: int, payload: bytes) -> tuple[int | bytes, ...]:
        """The arguments of one event, integers signed.

        :raises Damaged: lengths that do not fit each other
        """
        integers = self.unpack(args)
        if not self._texts:
            return integers
        start = 8 * len(self._integers)
        data = payload or args[start : start + size]
        if len(data) != size:
            raise Damaged(f"a {self.kind} event has {size} bytes of text in {len(data)}")
        values: list[int | bytes] = [0] * len(self.signature)
        for index, number in zip(self._integers, integers, strict=True):
            values[index] = number
        for index, text in zip(self._texts, self._split(data), strict=True):
            values[index] = text
        return tuple(values)

    def _split(self, data: bytes) -> Iterator[bytes]:
        at = 0
        for _ in self._texts[:-1]:
            end = at + 2 + int.from_bytes(data[at : at + 2], "little")
            if end > len(data):
                raise Damaged(f"a {self.kind} event has less text than it says")
            yield data[at + 2 : end]
            at = end
        yield data[at:]


BATCHED = Site(BATCH, "call", sites.DEBUG, "", "")
"""The site of system call records, which have no words but their own."""


def parsed(blob: bytes) -> Iterator[tuple[bytes, Site]]:
    """The sites a definition record defines, each with the bytes its number is made of.

    :raises Damaged: no definitions
    """
    words = blob.split(b"\0")
    if words.pop() or len(words) % 4:
        raise Damaged("a record of definitions is incomplete")
    for at in range(0, len(words), 4):
        definition = b"\0".join(words[at : at + 4]) + b"\0"
        try:
            kind, level, form, place = [word.decode() for word in words[at : at + 4]]
            yield definition, Site(0, kind, int(level[:4]), form, place)
        except ValueError as error:
            raise Damaged(f"a definition of a site makes no sense: {error}") from error


class Lane:
    """Who wrote: a thread of a process."""

    __slots__ = ("closed", "name", "number", "pid", "tid")

    def __init__(self, number: int, name: str, pid: int, tid: int) -> None:
        self.number = number
        self.name = name
        self.pid = pid
        self.tid = tid
        self.closed = False


class Event:
    """One event: ``time`` (CLOCK_MONOTONIC, ns), the ``lane`` that wrote it, its ``site``, its ``args``."""

    __slots__ = ("args", "lane", "site", "time")

    def __init__(self, time: int, lane: Lane, site: Site, args: tuple[int | bytes, ...]) -> None:
        self.time = time
        self.lane = lane
        self.site = site
        self.args = args

    def tasks(self) -> set[int]:
        """The pids and tids that the event is about; the writer's own where it names none."""
        if isinstance(self, Batch):
            return {self.pid, self.tid}
        found = {a for a, c in zip(self.args, self.site.signature, strict=True) if c == "p" and isinstance(a, int)}
        return found or {self.lane.pid, self.lane.tid}


class Batch(Event):
    """System call records that a task has run."""

    __slots__ = ("base", "ns", "pid", "reason", "records", "tid")

    def __init__(self, time: int, lane: Lane, args: bytes, size: int, payload: bytes) -> None:
        super().__init__(time, lane, BATCHED, ())
        self.pid, self.tid, self.base, count, self.ns = BATCH_ARGS.unpack_from(args)
        if count * SLOT > size or size != len(payload):
            raise Damaged(f"a batch of {count} system calls has {len(payload)} bytes")
        self.records = payload[: count * SLOT]
        self.reason = payload[count * SLOT :]

    def calls(self) -> Iterator[tuple[int, ...]]:
        """``(nr, flags, arg0 … arg5, ret)`` of each call."""
        return CALL.iter_unpack(self.records)

    def number(self, index: int) -> int:
        """The system call number of a call."""
        return int.from_bytes(self.records[index * SLOT : index * SLOT + 4], "little")

    def failed(self) -> tuple[int, int] | None:
        """Index in the batch and error number of the call that failed; an error that was expected is no failure."""
        for index, call in enumerate(self.calls()):
            if is_failure(call[1], call[8]):
                return index, -call[8]
        return None


def is_failure(flags: int, ret: int) -> bool:
    """Whether a call failed with an error that it was not allowed to have."""
    return -4095 <= ret < 0 and not flags & ERROR_OK


def record(data: bytes, slot: int) -> tuple[int, int, int, bytes, bytes]:
    """``(site, time, size, args, payload)`` of the record whose head is in ``slot`` of a block.

    :raises Damaged: a size that its slots do not have
    """
    site, size, more, time, args, _ = HEAD.unpack_from(data, slot * SLOT)
    start = (slot + 1) * SLOT
    payload = data[start : start + size] if more else b""
    if (size > more * SLOT if more else size > ROOM) or (more and len(payload) != size):
        raise Damaged(f"a record of {size} bytes has {more} slots")
    return site, time, size, args, payload
