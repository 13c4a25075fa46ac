"""Names of anonymous areas, PR_SET_VMA of prctl(2), as /proc/PID/maps shows them: ``[anon:NAME]``."""

from __future__ import annotations

from replant.abi import x86_64 as nr
from replant.abi.prctl import PR_SET_VMA, PR_SET_VMA_ANON_NAME
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.abi.call import Answer, Call, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("memory",)
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
ASKS: tuple[Call, ...] = ()
_PREFIXES = ("[anon:", "[anon_shmem:")


class Area(Frozen):
    """``name`` of what lies between two addresses."""

    start: int
    end: int
    name: str


class State(Frozen):
    """All areas that have a name, in order of address."""

    areas: tuple[Area, ...]


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: no area has a name."""
    areas = tuple(_areas(t))
    return State(areas) if areas else None


def _areas(t: TaskFacts) -> Iterator[Area]:
    for m in t.mappings:
        if m.path.startswith(_PREFIXES):
            yield Area(m.start, m.end, m.path.partition(":")[2].removesuffix("]"))


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Name each."""
    for area in state.areas:
        name = area.name.encode() + b"\0"
        on.call(nr.prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, area.start, area.end - area.start, name, why="its name")
