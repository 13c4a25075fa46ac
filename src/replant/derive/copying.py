"""The parallel copy: places that shall all at once hold what others hold now, as a sequence of single copies.

As registers before a jump, or descriptors before a program: each copy overwrites its target, so whoever else wants what
stood there must have it by then. The shortest sequence writes each target that changes once, and one more place for
each ring of which nothing leads out: there the first copy destroys a value that stands nowhere else.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping
    from typing import TypeVar

    Place = Hashable
    Source = TypeVar("Source", bound=Hashable)
    Target = TypeVar("Target", bound=Hashable)


def parallel_copy(wanted: Mapping[Target, Source], spare: Target | None = None) -> list[tuple[Source | Target, Target]]:
    """Copies ``(source, target)``, in order, after which each target holds what stood in the source ``wanted`` for it.

    ``spare`` is a place for the rings, neither source nor target; afterwards something stands there that nobody wants.

    :raises ValueError: there is a ring, and no spare place.
    """
    left = {target: source for target, source in wanted.items() if target != source}
    at: dict[Place, Source | Target] = {source: source for source in left.values()}  # where that can be had now
    free = [target for target in left if target not in at]
    copies: list[tuple[Source | Target, Target]] = []
    while left:
        if not free:
            if spare is None:
                raise ValueError("a ring of copies takes one more place")
            start = next(iter(left))
            copies.append((start, spare))
            at[start] = spare
            free.append(start)
        target = free.pop()
        source = left.pop(target)
        copies.append((at[source], target))
        if source in left and at[source] == source:  # it stands in its final place now, and may be overwritten here
            at[source] = target
            free.append(source)
    return copies


def verified(copies: Iterable[tuple[Place, Place]], wanted: Mapping[Place, Place]) -> bool:
    """Whether the copies, done one after the other, leave in each target what is wanted there: the simulator."""
    holds: dict[Place, Place] = {}
    for source, target in copies:
        holds[target] = holds.get(source, source)
    return all(holds.get(target, target) == source for target, source in wanted.items())
