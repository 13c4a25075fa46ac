"""Contexts of asynchronous IO, io_setup(2): how many requests each takes, and how many are in flight.

A context has as many slots for events as its ring. A slot is taken by a request in flight, or by an event that nobody
has fetched; free slots are counted in the context, and in portions on each CPU.
"""

from __future__ import annotations

from ..record import Record
from . import per_cpu
from .iterate import TASK, Iterator
from .queues import Queues

_U64 = (1 << 64) - 1


class AioContext(Record):
    """``start`` is the address of its ring, which is also its id; ``requests`` as given to io_setup."""

    start: int
    requests: int
    in_flight: int


class AioContexts(Queues):
    """Reads the contexts of processes."""

    def contexts(self, pid: int) -> list[AioContext]:
        """Those of one process."""
        table = self._tables().get(pid, 0)
        if not table:
            return []
        [raw] = self._memory.read([(table + self._at("kioctx_table", "nr"), 4)])
        first = table + self._at("kioctx_table", "table")
        pointers = self._words([first + 8 * n for n in range(int.from_bytes(raw, "little"))])
        return [self._context(address) for address in pointers if address]

    def _offsets(self) -> tuple[int, ...]:
        return per_cpu.offsets(_cpus(), self._memory, self._at("bpf_array", "pptrs"))

    def _tables(self) -> dict[int, int]:
        columns = {"tgid": "task->tgid", "table": "task->mm->ioctx_table"}
        iterator = Iterator(TASK, columns, self._layout, self._source.chosen, self._source.level)
        self._source.chosen.choose(list(self._pids))
        records = iterator.scan(4 * len(self._pids))
        rows = zip(*[records.column(name) for name in columns], strict=True)
        return {self._pids[tgid]: address for tgid, address in rows}

    def _context(self, address: int) -> AioContext:
        start, cpu = self._words([address + self._at("kioctx", name) for name in ("user_id", "cpu")])
        names = ("max_reqs", "nr_events", "completed_events", "reqs_available")
        raw = self._memory.read([(address + self._at("kioctx", name), 4) for name in names])
        requests, slots, completed, free = (int.from_bytes(number, "little", signed=True) for number in raw)
        on_cpus = self._memory.read([(cpu + offset & _U64, 4) for offset in self._offsets()])
        free += sum(int.from_bytes(number, "little") for number in on_cpus)
        return AioContext._make((start, requests, slots - 1 - free - completed))


def _cpus() -> int:
    """How many CPUs there can be."""
    with open("/sys/devices/system/cpu/possible", "rb") as file:
        return int(file.read().replace(b"-", b",").split(b",")[-1]) + 1
