"""Following a journal while it is written, as ``tail -f`` follows a file."""

from __future__ import annotations

import os
import time
from operator import attrgetter

from replant.journal.blocks import snapshot
from replant.journal.layout import EVENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from replant.journal.blocks import Block
    from replant.journal.events import Event, Site
    from replant.journal.reader import Reader

PERIOD = 0.1
"""Seconds between looks."""


class Follower:
    """What was told of a journal so far. A block that a ring takes again has another key: it is another block."""

    def __init__(self, reader: Reader, wanted: Callable[[Site], bool]) -> None:
        self._reader = reader
        self._wanted = wanted
        self._told: dict[tuple[int, int], set[int]] = {}
        self._done: set[tuple[int, int]] = set()

    def events(self, pause: Callable[[float], None] = time.sleep) -> Iterator[Event]:
        """Every event so far, then those that are written, until every lane is closed or its process is gone.

        The events of one look are in the order of time. An event that was being stored during one look is
        told at the next.
        """
        while True:
            self._reader.refresh()
            ended = self.ended()
            yield from self.look()
            if ended:
                return
            pause(PERIOD)

    def ended(self) -> bool:
        """Whether nothing more can come."""
        lanes = self._reader.refresh_closed()
        return all(lane.closed or not _alive(lane.pid) for lane in lanes)

    def look(self) -> list[Event]:
        """The events that were completed since the last look."""
        self._reader.refresh()
        found: list[Event] = []
        for blocks in self._reader.blocks.values():
            for block in blocks:
                if block.kind == EVENTS and (block.number, block.key) not in self._done:
                    found += self._fresh(block, last=block is blocks[-1])
        found.sort(key=attrgetter("time"))
        return found

    def _fresh(self, block: Block, last: bool) -> list[Event]:
        data, heads, gaps = snapshot(self._reader.fd, block)
        which = (block.number, block.key)
        told = self._told.setdefault(which, set())
        fresh = [slot for slot in heads if slot not in told]
        told.update(fresh)
        if not last and not gaps:
            self._done.add(which)
            del self._told[which]
        numbers = self._reader.numbers(self._wanted)
        return self._reader.chosen(block, data, fresh, numbers, 0, 1 << 64)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
