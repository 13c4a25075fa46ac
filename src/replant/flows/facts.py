"""What the kernel tells of a tree: mappings and descriptors, from the source that is cheapest for a tree of its size.

/proc needs no preparation, and costs 6 µs a mapping (smaps, for the flags) and 20 a descriptor. BPF iterators cost a
third of that, and 10 to 15 ms before the freeze, to load programs and to check them against /proc/self; they also tell
which descriptors are one description, what kcmp(2) would have to be asked for. So the tree is guessed at while it runs.
"""

from __future__ import annotations

import os
import time

from replant.flows import waits
from replant.journal import current, site
from replant.observe import procfs
from replant.observe.field import MISSING
from replant.resources.shared import holders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping as Mapped
    from collections.abc import Sequence

    from replant.observe.bpf.restarts import Restart
    from replant.observe.bpf.terminals import Terminals
    from replant.observe.frozen import Frozen
    from replant.observe.observer import Observer
    from replant.observe.procfs import Fd, FdInfo, Mapping
    from replant.resources.protocol import FileFacts

_GUESSED = site("facts", "a guess at the tree: %d processes, %d threads, %d mappings, %d descriptors")
_CHOSEN = site("facts", "large trees are told of by %s %s")
_MANY_MAPPINGS = 3000
_MANY_FILES = 400
_MANY_THREADS = 64
_ROOM = 256  # records besides those that are guessed
_ENOUGH_PROCESSES = 100
_PAGES = 64  # present pages that smaps takes as long for as for a mapping
_LINE = 80  # bytes of a line of /proc/PID/maps, about
_ENOUGH_MAPS = _MANY_MAPPINGS * _LINE


class Facts:
    """Made before the freeze for the tree below ``root``; asked once the tree is stopped and `choose` has been told.

    ``waits`` looks on while the tree is stopped, if there is anything to see.
    """

    def __init__(self, root: int, fields: Sequence[str] = ()) -> None:
        """``fields``: of `replant.observe.facts.Task`, to be told of every thread where there are many."""
        self._fields = ("pid", *sorted(set(fields)))
        self._threads: dict[int, Sequence[object]] = {}
        self._places: dict[Sequence[str], list[int]] = {}
        self._observer: Observer | None = None
        self._frozen: Frozen | None = None
        self._pids: Sequence[int] = ()
        self._linkable: set[tuple[int, int]] | None = None
        self._asked_directories: set[str] = set()
        self._clock = 0
        self._restarts: dict[int, Restart] | None = None
        self._nameless = holders.nameless() if _has_nameless(root) else None
        pids = _processes(root)
        processes, threads, mappings, files = _guess(root, pids)
        self.waits = self._any_observer().waits() if waits.any_known(pids) else None
        self._many_mappings = mappings >= _MANY_MAPPINGS
        self._many_files = files >= _MANY_FILES
        self._many_threads = threads >= _MANY_THREADS
        _GUESSED(current(), processes, threads, mappings, files)
        if self._many_mappings or self._many_files or self._many_threads:
            self._observer = self._prepared(threads, mappings, files)

    def _prepared(self, threads: int, mappings: int, files: int) -> Observer | None:
        from replant.observe.facts import File, Task, Vma
        from replant.observe.frozen import Frozen

        observer = self._any_observer()
        kinds = [kind for kind, many in ((Vma, self._many_mappings), (File, self._many_files)) if many]
        expected = ((Task, threads), (Vma, mappings), (File, files))
        observer.prepare(kinds, {kind: _ROOM + count + count // 4 for kind, count in expected})
        if self._many_threads:
            self._look_at_threads(observer, [os.getpid()])
        _CHOSEN(current(), observer.source, observer.reason)
        if observer.source != "bpf":
            return None
        self._frozen = Frozen((), observer)
        return observer

    def sharers(self, dev: int, ino: int) -> list[int]:
        """Processes that have a nameless inode, perhaps no more: looked for before the freeze if the root has any."""
        if self._nameless is None:
            self._nameless = holders.nameless()
        return self._nameless.get((dev, ino), [])

    def choose(self, pids: Sequence[int], clock: int) -> None:
        """The processes of the stopped tree, and CLOCK_MONOTONIC in ns at its freeze."""
        self._pids, self._clock = pids, clock
        if self.waits:
            self.waits.close()
        if self._frozen:
            self._frozen.pids = pids
            if self._many_threads:
                self._threads = self._look_at_threads(self._frozen.observer, pids)

    def _look_at_threads(self, observer: Observer, pids: Sequence[int]) -> dict[int, Sequence[object]]:
        from replant.observe.facts import Task

        return {row[0]: row for row in observer.look(Task, self._fields, pids=pids, leaders=False).records}  # type: ignore[misc]

    def told(self, tid: int, fields: Sequence[str]) -> tuple[object, ...] | None:
        """The values of fields of a thread; None where one is not known, or there are not many threads."""
        row = self._threads.get(tid)
        if row is None:
            return None
        places = self._places.get(fields)
        if places is None:
            places = self._places[fields] = [self._fields.index(name) for name in fields]
        values = tuple([row[place] for place in places])
        return None if MISSING in values else values

    def maps(self, pid: int) -> list[Mapping]:
        """As `procfs.maps`, with flags."""
        if self._frozen and self._many_mappings:
            return self._frozen.maps(pid)
        return procfs.maps(pid)

    def terminals(self) -> Terminals | None:
        """The terminals of the tree; None where BPF cannot be used."""
        return self._any_observer().terminals(self._pids)

    def restart(self, tid: int) -> Restart | None:
        """How the interrupted call of a thread goes on, from the freeze on; all are looked at when first asked for."""
        if self._restarts is None:
            found = self._any_observer().restarts(self._pids) or {}
            late = time.monotonic_ns() - self._clock
            self._restarts = {t: r._replace(left=r.left + late) if r.left >= 0 else r for t, r in found.items()}
        return self._restarts.get(tid)

    def _any_observer(self) -> Observer:
        if self._observer is None:
            from replant.observe.observer import Observer

            self._observer = Observer()
        return self._observer

    def files(self, pid: int) -> tuple[list[Fd], dict[int, FdInfo], Mapped[int, object]]:
        """As `procfs.fds` and `procfs.fdinfos`; and what is equal for one description, if known."""
        if self._frozen and self._many_files:
            keys = {file.fd: file.file_key for file in self._frozen.files(pid)}
            return self._frozen.fds(pid), self._frozen.fdinfos(pid), keys
        return procfs.fds(pid), procfs.fdinfos(pid), {}

    def linkable(self, f: FileFacts) -> bool | None:
        """Whether a nameless file may be given a name, which costs a look at all files for the first that asks."""
        directory = os.path.dirname(f.link)
        if self._linkable is None and directory not in self._asked_directories:
            from replant.observe.linkable import linkable

            self._asked_directories.add(directory)
            self._linkable = linkable(self._pids, directory)
        return None if self._linkable is None else (f.pid, f.fd) in self._linkable


def _has_nameless(pid: int) -> bool:
    """Whether a running process has memory or files that have no name, and that others may have, too."""
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            return b"(deleted)" in file.read()
    except OSError:  # the freeze will say what is wrong
        return False


def _guess(root: int, pids: Sequence[int]) -> tuple[int, int, int, int]:
    """Processes, threads, mappings and descriptors of a running tree, all processes being as its root; exact enough
    for a choice.
    """
    try:
        processes, threads = len(pids), sum(map(_threads, pids))
        mappings = _lines(root) + _pages(root) // _PAGES
        return processes, threads, processes * mappings, processes * len(os.listdir(f"/proc/{root}/fd"))
    except OSError:
        return 1, 1, 0, 0  # the freeze will say what is wrong


def _processes(root: int) -> list[int]:
    """The running tree, generation by generation, as far as it takes to know that there are many."""
    found = [root]
    for pid in found:
        try:
            with open(f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as file:
                found += map(int, (file.read(1 << 16) or b"").split())
        except OSError:  # it has ended
            continue
        if len(found) > _ENOUGH_PROCESSES:
            break
    return found


def _threads(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/task").st_nlink - 2
    except FileNotFoundError:  # it has ended
        return 0


def _pages(pid: int) -> int:
    with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
        return int(file.read(256).split()[1])


def _lines(pid: int) -> int:
    count = size = 0
    with open(f"/proc/{pid}/maps", "rb", buffering=0) as file:
        while size < _ENOUGH_MAPS and (data := file.read(1 << 16)):
            count += data.count(b"\n")
            size += len(data)
    return count
