"""What the kernel is to take back at the end of a process: changes of System V semaphores made with SEM_UNDO, semop(2).

A list of them belongs to a process, or is shared by tasks that were cloned so; in it an entry for each set that the
process has used in that way, with a number for each semaphore. No other interface tells.
"""

from __future__ import annotations

from struct import unpack

from ..record import Record
from .iterate import TASK, Iterator
from .queues import Queues

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Adjustments(Record):
    """What will be added, at the end of process ``pid``, to the first semaphores of set ``semid``."""

    pid: int
    semid: int
    values: tuple[int, ...]


class Undo(Queues):
    """Reads the undo lists of processes, as their leaders have them."""

    def adjustments(self, sizes: Mapping[int, int]) -> list[Adjustments]:
        """Every entry of the lists; ``sizes``: how many semaphores a set has."""
        member = self._at("sem_undo_list", "list_proc")
        lists = {(pid, 0): address + member for pid, address in self._undo_lists().items() if address}
        at = self._at("sem_undo", "list_proc")
        entries = self._lists(lists, self._at("list_head", "next"))
        rows = [(pid, entry - at) for (pid, _), found in entries.items() for entry in found]
        raw = self._memory.read([(entry + self._at("sem_undo", "semid"), 4) for _, entry in rows])
        numbers = [int.from_bytes(number, "little", signed=True) for number in raw]
        return [
            Adjustments(pid, number, self._values(entry, sizes[number]))
            for (pid, entry), number in zip(rows, numbers, strict=True)
            if number in sizes  # -1: the set is gone
        ]

    def _undo_lists(self) -> dict[int, int]:
        columns = {"tgid": "task->tgid", "tid": "task->pid", "list": "task->sysvsem.undo_list"}
        iterator = Iterator(TASK, columns, self._layout, self._source.chosen, self._source.level)
        self._source.chosen.choose(list(self._pids))
        records = iterator.scan(4 * len(self._pids))
        rows = zip(*[records.column(name) for name in columns], strict=True)
        return {self._pids[tgid]: address for tgid, tid, address in rows if tgid == tid}

    def _values(self, entry: int, count: int) -> tuple[int, ...]:
        places = self._layout.places
        if ("sem_undo", "semadj") in places:
            start = entry + self._at("sem_undo", "semadj")
        else:
            start = self._words([entry + self._at("sem_undo", "semadj'")])[0]
        return unpack(f"={count}h", self._bytes(start, 2 * count))

    def _bytes(self, start: int, length: int) -> bytes:
        parts = [(start + done, min(48, length - done)) for done in range(0, length, 48)]
        return b"".join(self._memory.read(parts))
