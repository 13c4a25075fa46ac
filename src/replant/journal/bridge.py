"""The standard library's ``logging``, both ways: its records into a journal, a journal's events to its loggers."""

from __future__ import annotations

import logging

from replant.journal.known import LOGGED
from replant.journal.sites import DEBUG, ERROR, INFO, WARNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from replant.journal.events import Event
    from replant.journal.lane import Lane
    from replant.journal.render import Renderer


class JournalHandler(logging.Handler):
    """A handler that keeps log records as events of kind ``log``: logger's name, and the message."""

    def __init__(self, lane: Lane, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._lane = lane

    def emit(self, record: logging.LogRecord) -> None:
        """Record one; an exception that came with it is recorded by its last line."""
        try:
            message = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                message = f"{message}: {record.exc_info[1]!r}"
            LOGGED[_rounded(record.levelno)](self._lane, record.name, message)
        except Exception:
            self.handleError(record)


def _rounded(level: int) -> int:
    """The journal's level for one of ``logging``'s, which may be any number."""
    for known in (ERROR, WARNING, INFO):
        if level >= known:
            return known
    return DEBUG


def replay(events: Iterable[Event], renderer: Renderer, prefix: str = "journal") -> None:
    """Give events to the loggers ``journal.KIND``, with the time, process and thread that they had."""
    for event in events:
        logger = logging.getLogger(f"{prefix}.{event.site.kind}")
        if not logger.isEnabledFor(event.site.level):
            continue
        place, _, line = event.site.place.rpartition(":")
        number = int(line) if line.isdecimal() else 0
        record = logger.makeRecord(logger.name, event.site.level, place, number, "%s", (renderer.text(event),), None)
        record.created = renderer.epoch(event.time) / 1e9
        record.msecs = float(renderer.epoch(event.time) // 1_000_000 % 1000)
        record.process, record.thread, record.threadName = event.lane.pid, event.lane.tid, event.lane.name
        logger.handle(record)
