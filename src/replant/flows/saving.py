"""The pages of stopped processes into the page store: what is much, each process writes itself (see `pages.copy`).

For that a process takes the store's descriptor from us, pidfd_getfd(2), where it may: it must see us by our number and
be allowed to trace us. Whatever it got is compared with ours before it is written to, as in another pid namespace our
number is somebody else's. It is closed before the process runs on, also if we die (`Questions.cleanup`), and then at
most one batch of `_AT_ONCE` bytes is written in vain.

Copied from outside are the pages of processes that may run nothing of ours, that have a limit of file sizes (SIGXFSZ),
and whose cgroup has a limit of memory that is not ours too: the pages of the store would count there.
"""

from __future__ import annotations

import os
from errno import EBADF, EINVAL, EMFILE, ENOSYS, EPERM, ESRCH

from replant.abi import x86_64
from replant.abi.call import Call, Out, Track
from replant.errors import Blocker
from replant.journal import current
from replant.journal.known import DECISION
from replant.pages import copy, scan
from replant.tracee.kcmp import compare_files
from replant.tracee.questions import Questions
from replant.tracee.remote import Inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from replant.abi.call import Answer, Slot
    from replant.image.manifest import Parent
    from replant.model.tree import Mm, Model
    from replant.pages.scan import Scan
    from replant.pages.store import PageWriter
    from replant.tracee.freeze import FrozenTree
    from replant.tracee.task import FrozenTask

_AT_ONCE = 64 << 20
_PROGRAM = 1 << 17  # room for two batches of records: one that is under way, one whose cleanup is armed
_RLIMIT_FSIZE = 1
_CANNOT = (EBADF, EINVAL, EMFILE, ENOSYS, EPERM, ESRCH)
_CGROUPS = "/sys/fs/cgroup"


class Known:
    """What is known of the pages of a tree from before it was stopped: nothing."""

    rounds = 0
    longest = 0.0

    def prepare(self, store: PageWriter, most: int, until: float) -> None:
        """Copy what can be copied while the tree runs; see `replant.flows.precopy`."""

    def tidy(self, mms: Iterable[Mm], fd: int) -> None:
        """Give back what ``fd``, the page store, holds in vain."""

    def scans(self, mms: Iterable[Mm]) -> dict[int, Scan]:
        """The scans of address spaces in which not all is new, by process."""
        return {}

    def begin(self, tasks: Mapping[int, FrozenTask], mms: Sequence[Mm]) -> None:
        """All are stopped and scanned: what is written from now on will be new the next time."""

    def parents(self, mms: Iterable[Mm], image: str) -> tuple[Parent, ...]:
        """The earlier images that have pages of these address spaces, as ``image`` refers to them."""
        return ()

    def finish(self, identity: str, image: str) -> None:
        """The image is there."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Contents:
    """What the pages of a tree are read from, in a ``with``: the processes themselves, as long as they are stopped.

    ``copies``, ``copies_ms``, ``copies_bytes``: see `replant.flows.dump.DumpReport`.
    """

    copies = 0
    copies_ms = 0.0
    copies_bytes = 0

    def __init__(self, known: Known) -> None:
        self.known = known
        self.tasks: dict[int, FrozenTask] = {}
        self.scans: dict[int, Scan] = {}

    def hold(self, frozen: FrozenTree, model: Model, store: PageWriter, written: Callable[[int], None]) -> None:
        """The tree has been stopped and looked at."""
        self.tasks = {task.pid: task for task in frozen.tasks}
        self.scans = self.known.scans(model.mms)
        self.known.begin(self.tasks, model.mms)

    def save(self, mms: Iterable[Mm], store: PageWriter, written: Callable[[int], None]) -> Iterator[Mm]:
        """`pages` of all of the tree."""
        return pages(mms, self.tasks, self.scans, store, written)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tasks = {}


def pages(
    mms: Iterable[Mm],
    tasks: Mapping[int, FrozenTask],
    scans: Mapping[int, Scan],
    store: PageWriter,
    written: Callable[[int], None],
) -> Iterator[Mm]:
    """The address spaces with ``runs``, their pages in the store. Raises as `pages.copy.copy`.

    ``tasks`` has the stopped process that holds the pages of each, by its pid, ``scans`` what was found in it before.
    ``written`` is told how much of the store is final.
    """
    for mm in mms:
        task = tasks[mm.pid]
        found = scans.get(mm.pid) or scan.scan(task.pid, mm.vmas)
        yield mm._replace(runs=_copy(task, found, store, written))
        written(store.size)


def _copy(task: FrozenTask, found: Scan, store: PageWriter, written: Callable[[int], None]) -> bytes:
    why = "it has few" if found.bytes < copy.WORTH_INSIDE else "its cgroup would pay for them"
    if found.bytes >= copy.WORTH_INSIDE and not _charged_elsewhere(task.pid):
        try:
            with Inside(task) as inside:
                hands = _Hands(inside, store, written)
                if hands.fd >= 0:
                    DECISION(current(), task.pid, "it writes its pages itself", f"they are {found.bytes} bytes")
                    try:
                        return copy.copy(task.pid, found, store, hands.ask, hands.fd)
                    finally:
                        hands.close()
                why = "it may not have the store, or has a limit of file sizes"
        except Blocker as blocker:  # nothing can be run in it
            why = str(blocker)
    DECISION(current(), task.pid, "its pages are copied from outside", why)
    return copy.copy(task.pid, found, store)


class _Hands:
    """A process with the store's descriptor, ``fd``; -1: it may not have it."""

    def __init__(self, inside: Inside, store: PageWriter, written: Callable[[int], None]) -> None:
        self._inside = inside
        self._written = written
        self._whole = True  # nothing was left out that is to be copied from outside afterwards
        self._thread = inside.task.threads[0]
        inside.enter(self._thread, _PROGRAM)
        track = Track("the process")
        limit = Out(16)
        track.call(x86_64.prlimit64, 0, _RLIMIT_FSIZE, 0, limit, why="limit of file sizes")
        us = track.call(x86_64.pidfd_open, os.getpid(), 0, why="the store", ok=_CANNOT)
        fd = track.call(x86_64.pidfd_getfd, us, store.fd, 0, why="the store", ok=_CANNOT)
        track.call(x86_64.close, us, ok=_CANNOT)
        try:
            answers = inside.ask(self._thread, _guarded(track, fd))
            self.fd = answers[2].ret
            if self.fd >= 0 and not self._is_store(store, answers[0].outs[0]):
                self.close()
                self.fd = -1
        except BaseException:
            self._search_and_close(store)
            raise

    def _is_store(self, store: PageWriter, limits: bytes) -> bool:
        room = int.from_bytes(limits[:8], "little")
        return room == (1 << 64) - 1 and compare_files(os.getpid(), store.fd, self._inside.task.pid, self.fd) == 0

    def ask(self, calls: Sequence[Call]) -> list[Answer]:
        """Run calls of pwrite64, in the order of their offsets, a bounded amount at a time."""
        answers: list[Answer] = []
        for part in _portions(calls):
            track = Track("the process")
            track.calls = part
            if self._whole:
                self._written(part[0].args[3])  # type: ignore[arg-type]
            done = self._inside.ask(self._thread, _guarded(track, self.fd))
            self._whole &= all(answer.ret == call.args[2] for answer, call in zip(done, part, strict=True))
            answers += done
        return answers

    def _search_and_close(self, store: PageWriter) -> None:
        """Close whatever descriptor of the store the process has got."""
        wanted, folder = os.fstat(store.fd), f"/proc/{self._inside.task.pid}/fd"
        for name in os.listdir(folder):
            if os.path.samestat(os.stat(f"{folder}/{name}"), wanted):
                self.fd = int(name)
                self.close()

    def close(self) -> None:
        """Close the descriptor in the process."""
        self._inside.ask(self._thread, [Call(x86_64.close, self.fd, why="the store")])


def _guarded(track: Track, fd: Slot | int) -> Questions:
    """Calls after which the descriptor is closed if we are not there any more."""
    return Questions(track.calls, [Call(x86_64.close, fd)], track)


def _portions(calls: Sequence[Call]) -> Iterator[list[Call]]:
    """Calls of pwrite64 in portions of `_AT_ONCE` bytes."""
    part: list[Call] = []
    size = 0
    for call in calls:
        length = int(call.args[2])  # type: ignore[arg-type]
        if part and size + length > _AT_ONCE:
            yield part
            part, size = [], 0
        part.append(call)
        size += length
    if part:
        yield part


def _charged_elsewhere(pid: int) -> bool:
    """Whether the pages that a process writes count against a limit that is not ours as well."""
    theirs = _cgroups(pid)
    if theirs == _cgroups(os.getpid()):
        return False
    one = len(theirs) == 1 and theirs[0].startswith("0::/")  # only cgroup v2
    return not one or any(_has_limit(folder) for folder in _upwards(theirs[0][3:]))


def _cgroups(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        return file.read().splitlines()


def _upwards(path: str) -> Iterator[str]:
    while path not in ("", "/"):
        yield _CGROUPS + path
        path = os.path.dirname(path)


def _has_limit(folder: str) -> bool:
    try:
        with open(f"{folder}/memory.max", encoding="ascii") as file:
            return file.read() != "max\n"
    except OSError:
        return True  # not to be seen from here: prudence
