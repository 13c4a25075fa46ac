"""Two sources side by side: what one says and the other does not."""

from __future__ import annotations

from .facts import File, Task, Vma
from .field import MISSING, fields_of
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .observer import Observer

# what tells records of a kind apart
_EVERY: tuple[tuple[type[Record], bool], ...] = ((Task, True), (Task, False), (Vma, True), (File, True))
IDENTITY: dict[type[Record], tuple[str, ...]] = {Task: ("tgid", "pid"), Vma: ("pid", "start"), File: ("pid", "fd")}


class Difference(Record):
    """A disagreement: about which record, which field (empty: the record itself is missing), and both values."""

    kind: str
    identity: tuple[object, ...]
    field: str
    left: object
    right: object

    def __str__(self) -> str:
        where = f"{self.kind.lower()} {'/'.join(map(str, self.identity))}"
        if not self.field:
            return f"{where}: only in {'the first' if self.left else 'the second'} source"
        return f"{where}: {self.field} is {self.left!r}, or {self.right!r}"


def compared(facts: type[Record]) -> list[str]:
    """Fields that both sources give and that hold still in a stopped task."""
    return [name for name, f in fields_of(facts).items() if f.kernel and f.procfs and not f.moving]


def compare(facts: type[Record], left: Iterable[Record], right: Iterable[Record]) -> list[Difference]:
    """Every difference between two sets of records, field by field; MISSING is not a difference, but no agreement."""
    ours, theirs = _by_identity(facts, left), _by_identity(facts, right)
    names = compared(facts)
    found = []
    for identity in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(identity), theirs.get(identity)
        if one is None or other is None:
            found.append(Difference(facts.__name__, identity, "", one is not None, other is not None))
            continue
        for name in names:
            a, b = getattr(one, name), getattr(other, name)
            if a != b and a is not MISSING and b is not MISSING:
                found.append(Difference(facts.__name__, identity, name, a, b))
    return found + _sharing(facts, ours, theirs)


def _by_identity(facts: type[Record], records: Iterable[Record]) -> dict[tuple[object, ...], Record]:
    return {tuple([getattr(record, name) for name in IDENTITY[facts]]): record for record in records}


def _sharing(
    facts: type[Record], ours: Mapping[tuple[object, ...], Record], theirs: Mapping[tuple[object, ...], Record]
) -> list[Difference]:
    """Keys have no meaning of their own: what must agree is who shares with whom."""
    common = sorted(ours.keys() & theirs.keys())
    found = []
    for name in [name for name in fields_of(facts) if name.endswith("_key")]:
        a = _partition([getattr(ours[i], name) for i in common])
        b = _partition([getattr(theirs[i], name) for i in common])
        if a and b:
            found += [Difference(facts.__name__, i, name, x, y) for i, x, y in zip(common, a, b, strict=True) if x != y]
    return found


def _partition(keys: Sequence[object]) -> list[int]:
    """For each record the first one that shares with it; nothing when a source does not know."""
    if MISSING in keys:
        return []
    first: dict[object, int] = {}
    return [first.setdefault(key, at) for at, key in enumerate(keys)]


def verify(pids: Sequence[int]) -> tuple[int, list[Difference]]:
    """Reads stopped processes from BPF and from procfs; gives the number of facts compared, and the differences.

    :raises ReplantError: BPF cannot be used; the code is ``no-bpf``.
    """
    from .observer import Observer

    bpf, procfs = Observer("bpf"), Observer("procfs")
    count = 0
    found: list[Difference] = []
    for facts, leaders in _EVERY:
        ours, theirs = _everything(bpf, facts, pids, leaders), _everything(procfs, facts, pids, leaders)
        count += len(ours) * len(compared(facts))
        found += compare(facts, ours, theirs)
    return count, found


def _everything(observer: Observer, facts: type[Record], pids: Sequence[int], leaders: bool) -> list[Record]:
    return [
        facts._make(row) for row in observer.look(facts, list(fields_of(facts)), pids=pids, leaders=leaders).records
    ]
