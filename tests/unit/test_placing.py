"""Descriptors come to their numbers: the calls of a process, simulated on a descriptor table."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import pytest

from replant.abi import x86_64
from replant.abi.call import Slot, Track
from replant.flows.opening import Opening
from replant.model.tree import Descriptor, FdTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOWEST = 100


def opening(inherited: int, made: int) -> Opening:
    """One whose process has inherited the descriptions up to ``inherited``, while others have made the next ones."""
    one = Opening.__new__(Opening)
    one.model = SimpleNamespace(files=[])  # type: ignore[assignment]
    one.fds = {n: _LOWEST + n for n in range(inherited + made)}
    one._made = dict.fromkeys(range(inherited, inherited + made), (7, _LOWEST))
    one._ourselves, one._holders = 99, {}
    one._held = lambda table: []  # type: ignore[method-assign]
    return one


def run(track: Track, table: dict[int, tuple[int, bool]]) -> None:
    """The calls on ``table``: what stands behind each number, and whether execve closes it."""
    theirs = {_LOWEST + n: n for n in range(50)}
    for call in track.calls:
        args: list[Any] = [a for a in call.args if not isinstance(a, Slot)]
        if call.nr == x86_64.pidfd_getfd:
            free = next(n for n in range(_LOWEST) if n not in table)
            assert free == call.gives
            table[free] = theirs[args[1]], True
        elif call.nr == x86_64.dup3:
            assert args[0] != args[1]
            table[args[1]] = table[args[0]][0], bool(args[2])
        elif call.nr == x86_64.close:
            del table[args[0]]
        else:
            assert call.nr == x86_64.fcntl
            table[args[0]] = table[args[0]][0], bool(args[2])


@pytest.mark.parametrize("seed", range(200))
def test_every_number_is_what_it_was(seed: int) -> None:
    rng = Random(seed)
    inherited, made = rng.randrange(4), rng.randrange(5)
    numbers = sorted(rng.sample(range(10), rng.randrange(10))) if inherited + made else []
    wanted = {n: (rng.randrange(inherited + made), rng.random() < 0.5) for n in numbers}
    track = Track("8")
    entries = tuple(Descriptor(fd, file, cloexec) for fd, (file, cloexec) in wanted.items())
    opening(inherited, made).place(FdTable(8, entries), track)
    table = {_LOWEST + n: (n, False) for n in range(inherited)}
    run(track, table)
    assert {fd: row for fd, row in table.items() if fd < _LOWEST} == wanted
    copies = sum(1 for call in track.calls if call.nr == x86_64.dup3)
    assert copies <= len(wanted)
