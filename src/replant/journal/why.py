"""Why a run failed: from the error back to its cause, in at most ten lines of a person's words."""

from __future__ import annotations

import errno
import re

from replant.journal.events import Batch
from replant.journal.known import BEGUN_KIND, BROKEN_KIND, ENDED_KIND
from replant.journal.reader import Reader
from replant.journal.render import Renderer, duration, text
from replant.journal.sites import WARNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from replant.journal.events import Event, Lane, Site
    from replant.journal.render import Names

LINES = 10

ADVICE = {
    errno.EPERM: "run it with the right that is missing, as root or with the capability ('replant check' lists them)",
    errno.EACCES: "run it as a user who may access this, or change the permissions of the path and of its parents",
    errno.ENOENT: "put back what was there, under the same path, or correct the path",
    errno.ESRCH: "the task is gone: try again once the tree is stable",
    errno.EEXIST: "what is to be made exists already: end it, remove it, or choose another name or place",
    errno.EBUSY: "something else uses it: find out what, and end or detach it",
    errno.ENOMEM: "free memory, or raise the limit (ulimit -v, the memory.max of the control group)",
    errno.ENOSPC: "free some space on that file system, or choose another one",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files (fs.file-max)",
    errno.EAGAIN: "a limit was reached, such as the number of processes (ulimit -u, pids.max): raise it, or try again",
    errno.EADDRINUSE: "another socket has this address: end the process that holds it ('ss -tulpn' shows it)",
    errno.ENOSYS: "this kernel does not have the call: use a newer one",
    errno.EROFS: "the file system is read-only: mount it writable or choose another place",
    errno.ETXTBSY: "the file is being executed or written: end that process first",
}
"""What can be tried after an error number, when the error itself has no hint."""


class Trail:
    """What happened up to the last failure of a journal, newest last."""

    def __init__(self) -> None:
        self.failure: Event | None = None
        self.blockers: list[Event] = []
        self.causes: list[Event] = []
        self.warnings: list[Event] = []
        self.steps: list[Event] = []
        self.calls: list[tuple[Batch, int, int]] = []
        self.phases: dict[Lane, list[Event]] = {}
        self.last: Event | None = None

    def walk(self, events: Iterable[Event]) -> None:
        """Go through the events, and forget with each failure what a later one is not made of."""
        ended = False
        for event in events:
            kind = event.site.kind
            if ended and kind.startswith("failure"):
                self.blockers, self.causes, ended = [], [], False
            self._note(event, kind)
            ended = ended or kind == "failure"

    def _note(self, event: Event, kind: str) -> None:
        self.last = event
        if isinstance(event, Batch):
            if failed := event.failed():
                self.calls.append((event, *failed))
        elif kind == "failure":
            self.failure = event
        elif kind == "failure.blocker":
            self.blockers.append(event)
        elif kind == "failure.cause":
            self.causes.append(event)
        elif kind in ("operation", "decision"):
            self.steps.append(event)
        elif kind == BEGUN_KIND:
            self.phases.setdefault(event.lane, []).append(event)
        elif kind == ENDED_KIND:
            self._end(event)
        elif event.site.level >= WARNING and kind != BROKEN_KIND:
            self.warnings.append(event)

    def _end(self, event: Event) -> None:
        """A phase that broke off is left open: the failure came from it."""
        begun = self.phases.get(event.lane, [])
        if begun and begun[-1].args[0] == event.args[0]:
            begun.pop()


def needed(site: Site) -> bool:
    """Which sites' events the chain is made of."""
    first = site.kind.partition(".")[0]
    return site.level >= WARNING or first in ("phase", "failure", "operation", "decision", "call", "journal")


class Chain:
    """The chain from a failure back to its cause: the failure, where in the run, why and how, and what to try."""

    def __init__(self, trail: Trail, failure: Event, path: str, renderer: Renderer) -> None:
        code, message, pid, resource, place, hint = _texts(failure)
        tasks = {int(pid)} if pid else set()
        call = _call(trail, tasks, f"{message} {resource}", renderer)
        self.failed = f"failed: {message} [{code}]"
        self.about = [f"  about {_about(pid, resource)}"] if pid or resource else []
        self.where = _phases(trail, renderer)
        self.because = _blockers(trail)
        self.how = [call[1]] if call else []
        self.how += [f"  which came from {renderer.text(cause)}" for cause in reversed(trail.causes[-2:])]
        self.how += [f"  the step was {renderer.text(step)}" for step in trail.steps if tasks & step.tasks()][-1:]
        self.how += [f"  warned before: {renderer.text(warning)}" for warning in trail.warnings[-2:]]
        self.attempt = f"  try: {hint or _advice(trail, call)}"
        self.rest = f"  {f'raised at {place}; ' if place else ''}the rest: replant log {path} --level debug"


def why(reader: Reader, renderer: Renderer) -> list[str]:
    """The chain from the last failure back to its cause, and what to try: at most ten lines."""
    trail = Trail()
    trail.walk(reader.events(needed))
    if trail.failure is None:
        return _unfailed(reader, trail, renderer)
    chain = Chain(trail, trail.failure, reader.path, renderer)
    lines = [chain.failed, *chain.about, *chain.where, *chain.because, *chain.how]
    return [*lines[: LINES - 2], chain.attempt, chain.rest]


def brief(path: str, names: Names | None = None) -> list[str]:
    """The five lines that matter at the end of a run that failed: the first says what, the last where the rest is.

    :raises OSError: the journal cannot be opened
    :raises Damaged: it cannot be read
    """
    with Reader(path) as reader:
        trail, renderer = Trail(), Renderer(reader.header, names)
        trail.walk(reader.events(needed))
        if trail.failure is None:
            return _unfailed(reader, trail, renderer)
        chain = Chain(trail, trail.failure, path, renderer)
    return [chain.failed, *chain.where, *chain.how[:1], chain.attempt, chain.rest]


def _call(trail: Trail, tasks: set[int], told: str, renderer: Renderer) -> tuple[int, str] | None:
    """The error number and the words of the call behind a failure: one that the error names, else the task's last."""
    about = [found for found in trail.calls if not tasks or tasks & found[0].tasks()]
    words = set(re.findall(r"\w+", told))
    named = [found for found in about if renderer.names.call_name(found[0].number(found[1])) in words]
    if not about:
        return None
    batch, index, number = (named or about)[-1]
    which = "the call was" if named else "the last call that failed there:"
    return number, f"  {which} {renderer.call(batch, index)} in task {batch.tid}{_reason(batch)}"


def _reason(batch: Batch) -> str:
    return f", for {text(batch.reason)}" if batch.reason else ""


def _texts(failure: Event) -> list[int | str]:
    """Code, message, pid, resource, place and hint."""
    return [text(a) if isinstance(a, bytes) else a for a in failure.args]


def _about(pid: int | str, resource: int | str) -> str:
    return ", ".join(filter(None, (f"task {pid}" if pid else "", str(resource))))


def _phases(trail: Trail, renderer: Renderer) -> list[str]:
    """Where in the run it was: the phases that were open, outermost first."""
    failure = trail.failure or trail.last
    begun = trail.phases.get(failure.lane, []) if failure else []
    if not failure or not begun:
        return []
    names = " > ".join([renderer.text(phase) for phase in begun])
    return [f"  during {names}, {duration(failure.time - begun[-1].time)} after that began"]


def _blockers(trail: Trail) -> list[str]:
    shown = []
    for blocker in trail.blockers[:3]:
        _, message, pid, resource, _, _ = _texts(blocker)
        about = _about(pid, resource)
        shown.append(f"  because {message}{f' ({about})' if about else ''}")
    more = len(trail.blockers) - 3
    return [*shown, f"  and {more} more such blockers"] if more > 0 else shown


def _advice(trail: Trail, call: tuple[int, str] | None) -> str:
    hints = [b.args[-1] for b in trail.blockers if b.args[-1]]
    if hints and isinstance(hints[0], bytes):
        return text(hints[0])
    numbers = [cause.args[2] for cause in trail.causes if cause.args[2]] + ([call[0]] if call else [])
    known = [ADVICE[number] for number in numbers if isinstance(number, int) and number in ADVICE]
    return known[0] if known else "look at what happened just before"


def _unfailed(reader: Reader, trail: Trail, renderer: Renderer) -> list[str]:
    """What can be said of a run that recorded no failure: it did not fail, or did not live to say so."""
    open_ = [lane for lane in reader.writers() if not lane.closed]
    if not open_:
        return ["nothing failed: the run ended properly and recorded no failure"]
    lines = [f"no failure was recorded, but pid {open_[0].pid} did not close its journal: it runs, or was killed"]
    lines += _phases(trail, renderer)
    if trail.last:
        lines.append(f"  the last that is known: {next(iter(renderer.lines(trail.last)))}")
    lines += [f"  warned before: {renderer.text(warning)}" for warning in trail.warnings[-2:]]
    return [*lines, "  try: look for who ended it (dmesg shows the out-of-memory killer), then run it again"]
