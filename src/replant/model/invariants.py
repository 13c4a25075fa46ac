"""What holds in every model: numbers that are unique, references that lead somewhere, mappings that do not overlap.

An image is checked against these before anything else looks at it, so that the rest of the program may rely on them.
"""

from __future__ import annotations

from itertools import chain

from replant.model.places import split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from replant.model.tree import FdTable, File, Mm, Model, Task, Vma

PAGE = 4096
#: offset in `Mm.runs` of pages without contents, which MADV_GUARD_INSTALL made inaccessible (madvise(2))
GUARD = (1 << 64) - PAGE
_PID_MAX = 1 << 22  # PID_MAX_LIMIT of 64-bit kernels
_ADDRESS_MAX = 1 << 56  # user addresses with five levels of page tables
_FD_MAX = 1 << 31
_SIGNALS = range(65)
_PROTECTIONS = set(range(8))
_IN_PAGE = (PAGE - 1).__and__


def violation(model: Model, stores: Sequence[int] | None = None) -> str | None:
    """The first thing that does not hold, in words, or None.

    ``stores``: the sizes in bytes of the image's page store and those it builds on (see `replant.model.places`).
    """
    return next(_violations(model, stores), None)


def _violations(model: Model, stores: Sequence[int] | None) -> Iterator[str]:
    tasks = {t.pid: t for t in model.tasks}
    files = {f.number for f in model.files}
    living = {t.pid for t in model.tasks if t.state != "Z"}
    yield from _files(model.files)
    yield from _repeated("pid", [t.pid for t in model.tasks])
    yield from _repeated("thread", [tid for t in model.tasks for tid in t.threads])
    for task in model.tasks:
        yield from _task(task, files)
    yield from _parents(model.root, tasks)
    yield from _sharers(tasks)
    yield from _owners("address space", [m.pid for m in model.mms], living)
    yield from _owners("descriptor table", [t.pid for t in model.tables], living)
    for table in model.tables:
        yield from _table(table, files)
    for mm in model.mms:
        yield from _mappings(mm, files)
        yield from _runs(mm, stores)
    yield from _attributes(model)


def _repeated(what: str, numbers: Sequence[object]) -> Iterator[str]:
    if len(set(numbers)) != len(numbers):
        seen: set[object] = set()
        twice = next(n for n in numbers if n in seen or seen.add(n))  # type: ignore[func-returns-value]
        yield f"{what} {twice} occurs twice"


def _task(t: Task, files: set[int]) -> Iterator[str]:
    if not all(0 < n < _PID_MAX for n in (t.pid, *t.threads)):
        yield f"task {t.pid}: a number of a task or thread is out of range"
    if not all(0 <= n < _PID_MAX for n in (t.ppid, t.pgid, t.sid)):
        yield f"task {t.pid}: parent, group or session is out of range"
    if t.state not in ("R", "T", "Z"):
        yield f"task {t.pid}: unknown state {t.state!a:.20}"
    if t.threads[:1] != (t.pid,):
        yield f"task {t.pid}: its first thread is not itself"
    if t.exit_signal not in _SIGNALS or t.stop_signal not in _SIGNALS or not 0 <= t.exit_code <= 0xFFFF:
        yield f"task {t.pid}: a signal or the exit code is out of range"
    if t.terminal not in files | {-1} or not 0 <= t.foreground < _PID_MAX:
        yield f"task {t.pid}: its terminal is no file of the image, or its foreground group is out of range"
    if t.state != "Z" and not ({t.cwd, t.exe} <= files and t.root in files | {-1}):
        yield f"task {t.pid}: cwd, root or exe is no file of the image"


def _sharers(tasks: dict[int, Task]) -> Iterator[str]:
    """Whoever shares names the first that does, who is alive and names nobody."""
    for t in tasks.values():
        for field in ("files_of", "fs_of"):
            first = tasks.get(getattr(t, field)) if getattr(t, field) else None
            if getattr(t, field) and (first is None or first.state == "Z" or getattr(first, field) or t.state == "Z"):
                yield f"task {t.pid}: {field} is no living task, or one that shares as well"


def _parents(root: int, tasks: dict[int, Task]) -> Iterator[str]:
    if root not in tasks:
        yield f"the root {root} is no task of the image"
        return
    below = {root}
    for pid in tasks:
        path = []
        while pid not in below:
            path.append(pid)
            below.add(pid)
            pid = tasks[pid].ppid
            if pid not in tasks:
                yield f"task {path[-1]}: its parent {pid} is no task of the image"
                return
        if pid in path:
            yield f"task {pid} is its own ancestor"


def _files(files: Iterable[File]) -> Iterator[str]:
    before = -1
    for f in files:
        if f.number <= before:
            yield f"file {f.number} comes after file {before}"
        if f.flags < 0 or f.flags >= _FD_MAX:
            yield f"file {f.number}: flags {f.flags:#x} are out of range"
        before = f.number


def _owners(what: str, pids: list[int], living: set[int]) -> Iterator[str]:
    yield from _repeated(f"{what} of task", pids)
    for pid in living.symmetric_difference(pids):
        yield f"task {pid} has no {what}" if pid in living else f"an {what} belongs to {pid}, which is no living task"


def _table(table: FdTable, files: set[int]) -> Iterator[str]:
    fds = [e.fd for e in table.entries]
    yield from _repeated(f"task {table.pid}: descriptor", fds)
    if fds and not (min(fds) >= 0 and max(fds) < _FD_MAX):
        yield f"task {table.pid}: a descriptor is out of range"
    missing = {e.file for e in table.entries} - files
    if missing:
        yield f"task {table.pid}: a descriptor refers to file {min(missing)}, which is no file of the image"


def _mappings(mm: Mm, files: set[int]) -> Iterator[str]:
    if not mm.vmas:
        return
    # by columns: an address space can have 65530 mappings, and more where the limit was raised
    starts, ends, prots, _, _, offsets, kinds, numbers = zip(*mm.vmas, strict=True)
    rising = all(map(int.__lt__, starts, ends)) and all(map(int.__le__, ends, starts[1:]))
    if not rising or starts[0] < 0 or ends[-1] > _ADDRESS_MAX:
        yield f"task {mm.pid}: its mappings overlap, are empty or not in order"
    if any(map(_IN_PAGE, chain(starts, ends, offsets))) or min(offsets) < 0:
        yield f"task {mm.pid}: a mapping is not of whole pages"
    if not set(prots) <= _PROTECTIONS:
        yield f"task {mm.pid}: a mapping has an unknown protection"
    for kind in set(kinds):
        if not (kind.isascii() and kind.isidentifier() and kind[0] != "_"):
            yield f"task {mm.pid}: {kind[:70]!a} is no name of a kind of mapping"
    missing = set(numbers) - files - {-1}
    if missing:
        yield f"task {mm.pid}: a mapping refers to file {min(missing)}, which is no file of the image"


def _runs(mm: Mm, stores: Sequence[int] | None) -> Iterator[str]:
    if len(mm.runs) % 24:
        yield f"task {mm.pid}: the list of saved pages is cut off"
        return
    numbers = memoryview(mm.runs).cast("Q")
    starts, lengths, places = numbers[0::3], numbers[1::3], numbers[2::3]
    if any(map(_IN_PAGE, numbers)) or not all(lengths):
        yield f"task {mm.pid}: saved pages are no whole pages"
    if stores is not None and not _inside(places, lengths, stores):
        yield f"task {mm.pid}: saved pages lie outside of the page store"
    if not all(map(int.__le__, map(int.__add__, starts, lengths), starts[1:])):
        yield f"task {mm.pid}: saved pages overlap, or are not in order"
    outside = _unmapped(mm.vmas, starts, lengths)
    if outside is not None:
        yield f"task {mm.pid}: saved pages at {outside:x} belong to no private mapping"


def _inside(places: Iterable[int], lengths: Iterable[int], stores: Sequence[int]) -> bool:
    """Whether runs lie in the stores: as a rule all in the first, which is to be seen by the last end."""
    if max(map(int.__add__, places, lengths), default=0) <= max(stores[:1], default=0):
        return True
    kept = [(*split(at), length) for at, length in zip(places, lengths, strict=True) if at != GUARD]
    return all(store < len(stores) and at + length <= stores[store] for store, at, length in kept)


def _unmapped(vmas: Sequence[Vma], starts: Iterable[int], lengths: Iterable[int]) -> int | None:
    """The first run that is not inside of one private mapping; runs and mappings are in order."""
    private = iter([v for v in vmas if not v.shared])
    vma = next(private, None)
    for start, length in zip(starts, lengths, strict=True):
        while vma is not None and vma.end <= start:
            vma = next(private, None)
        if vma is None or start < vma.start or start + length > vma.end:
            return start
    return None


def _attributes(model: Model) -> Iterator[str]:
    threads = {tid for t in model.tasks for tid in t.threads}
    yield from _repeated("the attribute", [(a.kind, a.tid) for a in model.attributes])
    strangers = {a.tid for a in model.attributes} - threads
    if strangers:
        yield f"an attribute belongs to {min(strangers)}, which is no thread of the image"
