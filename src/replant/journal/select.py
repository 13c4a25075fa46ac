"""Which events a reader wants to see."""

from __future__ import annotations

from replant.journal.events import BATCHED, Batch, is_failure
from replant.journal.known import BEGUN_KIND
from replant.journal.sites import DEBUG

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Collection, Iterator

    from replant.journal.events import Event, Site
    from replant.journal.reader import Reader
    from replant.journal.render import Renderer


class Selection:
    """What is asked for; all that is given must hold.

    ``kinds`` are names of events or their first parts (``phase`` selects ``phase.begin``). ``calls`` are names of
    system calls and ``errors`` error numbers (0: any): they select from batches, call by call. ``grep`` is searched
    in each rendered line. ``since`` and ``until`` are CLOCK_MONOTONIC ns.
    """

    def __init__(
        self,
        *,
        level: int = DEBUG,
        pids: Collection[int] = (),
        kinds: Collection[str] = (),
        calls: Collection[str] = (),
        errors: Collection[int] = (),
        grep: re.Pattern[str] | None = None,
        since: int = 0,
        until: int = 1 << 64,
    ) -> None:
        self.level = level
        self.pids = frozenset(pids)
        self.kinds = tuple(kinds)
        self.calls = frozenset(calls)
        self.errors = frozenset(errors)
        self.grep = grep
        self.since = since
        self.until = until

    def wanted(self, site: Site) -> bool:
        """Whether events of a site can be of interest: others need not be decoded.

        Calls count as debug events; asked for by name or error they are wanted at any level.
        """
        if self.calls or self.errors:
            return site is BATCHED
        return site.level >= self.level and (not self.kinds or any(_is(site.kind, kind) for kind in self.kinds))

    def events(self, reader: Reader) -> Iterator[Event]:
        """The events of a journal that are selected by all but ``grep``."""
        found = reader.events(self.wanted, since=self.since, until=self.until)
        return (event for event in found if self.concerns(event)) if self.pids else found

    def concerns(self, event: Event) -> bool:
        """Whether the event is about one of the tasks asked for."""
        return not self.pids or not self.pids.isdisjoint(event.tasks())

    def lines(self, event: Event, renderer: Renderer) -> list[str]:
        """The lines of an event that are selected, by ``grep`` too; of a batch those of the calls asked for."""
        if isinstance(event, Batch) and (self.calls or self.errors):
            found = [renderer.line(event, index) for index in self._indices(event, renderer)]
        else:
            found = list(renderer.lines(event))
        return [line for line in found if self.grep.search(line)] if self.grep else found

    def _indices(self, batch: Batch, renderer: Renderer) -> Iterator[int]:
        for index, (nr, flags, *_, ret) in enumerate(batch.calls()):
            if self.calls and renderer.names.call_name(nr) not in self.calls:
                continue
            if self.errors and not self._failed(flags, ret):
                continue
            yield index

    def _failed(self, flags: int, ret: int) -> bool:
        """Whether a call failed by one of the errors asked for; of any, those that were expected are left out."""
        return ret < 0 and (-ret in self.errors or (0 in self.errors and is_failure(flags, ret)))


def _is(kind: str, asked: str) -> bool:
    return kind == asked or kind.startswith(asked + ".")


def phase(reader: Reader, name: str) -> tuple[int, int] | None:
    """When the phase ``name`` ran: the time of its first begin, and one past that of its last end; None: never.

    One that did not end ran until the last event.
    """
    marks = [
        (event.time, event.site.kind)
        for event in reader.events(lambda site: _is(site.kind, "phase"))
        if event.args and event.args[0] == name.encode()
    ]
    if not marks:
        return None
    ended = marks[-1][1] != BEGUN_KIND
    return marks[0][0], marks[-1][0] + 1 if ended else 1 << 64
