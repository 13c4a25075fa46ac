"""Asking the threads of live processes: one, or the leaders of many at a time."""

from __future__ import annotations

from replant.errors import Blocker

from .inside import Inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.abi.call import Answer, Call

    from .questions import Questions
    from .task import FrozenTask, FrozenThread

__all__ = ["Inside", "ask", "each"]

_ABREAST = 64


def ask(thread: FrozenThread, calls: Sequence[Call] | Questions) -> list[Answer]:
    """`Inside.ask` of a process that is asked but once."""
    with Inside(thread.task) as inside:
        return inside.ask(thread, calls)


def each(tasks: Sequence[FrozenTask], questions: Questions) -> Iterator[Inside]:
    """The inside of each process, in order, with ``questions`` to its leader started already.

    Processes work at them while others are attended to; what is refused is raised by the `Inside.ask` that asks it.
    An `Inside` is good until the next one is taken.
    """
    for first in range(0, len(tasks), _ABREAST):
        abreast: list[Inside] = []
        try:
            for task in tasks[first : first + _ABREAST]:
                inside = Inside(task)
                abreast.append(inside)
                _enter(inside, questions)
            for inside in abreast:
                _start(inside, questions)
            for inside in abreast:
                yield inside
                inside.leave()
        finally:
            for inside in abreast:
                inside.close()


def _enter(inside: Inside, questions: Questions) -> None:
    try:
        inside.enter(inside.task.threads[0], questions.size)
    except Blocker as blocker:
        inside.refused = blocker


def _start(inside: Inside, questions: Questions) -> None:
    try:
        if inside.refused is None:
            inside.start(inside.task.threads[0], questions)
    except Blocker as blocker:
        inside.refused = blocker
