"""A program that tells many short stories at once: each sets something up, is uprooted and replanted, and looks at it.

An episode is a generator that is given a fresh directory: up to its ``yield`` it sets up, behind it it checks. At every
question all of them end, and begin again.
"""

from __future__ import annotations

import inspect
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import selfcheck

Episode = Callable[[Path], Iterator[None]]


class Running:
    """One episode, over and over."""

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self._turn = 0
        self._begin()

    def _begin(self) -> None:
        here = Path(f"{self._episode.__name__}{self._turn}").absolute()
        here.mkdir()
        self._told = self._episode(here)
        next(self._told)

    def check(self) -> None:
        try:
            next(self._told)
        except StopIteration:
            self._turn += 1
            self._begin()
        except Exception as wrong:
            wrong.args = (f"{self._episode.__name__}: {type(wrong).__name__}: {wrong}",)
            raise
        else:
            raise AssertionError(f"{self._episode.__name__} yields twice")


def serve(known: dict[str, Episode]) -> None:
    """Tell the episodes named on the command line, for ever."""
    running = [Running(known[name]) for name in sys.argv[1:]]
    selfcheck.serve(lambda: [each.check() for each in running] and None)


def child(act: Callable[[], object]) -> int:
    """A child that acts and then waits for its end; its pid, once it has acted.

    Of all descriptors it keeps the one that ``act`` returns, if it does: those of other episodes it closes.
    """
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            kept = act()
            os.write(done, b"x")
            only(*([kept] if isinstance(kept, int) else []))
            while True:
                signal.pause()
        finally:
            os._exit(1)
    os.close(done)
    assert os.read(ready, 1) == b"x", "the child failed"
    os.close(ready)
    return pid


def only(*fds: int) -> None:
    """Close all descriptors but the standard ones and these."""
    for first, last in itertools.pairwise([2, *sorted(fds), 1 << 16]):
        os.closerange(first + 1, last)


def end(pid: int) -> None:
    """Kill a child and reap it."""
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def all_of(module: dict[str, object]) -> dict[str, Episode]:
    """The public generator functions of a module, by name."""
    return {n: f for n, f in module.items() if inspect.isgeneratorfunction(f) and not n.startswith("_")}
