"""membarrier: a command that needs registering works without registering again."""

from __future__ import annotations

import errno

from task_child import Child, again, make, read

from replant.abi import membarrier as numbers
from replant.abi import x86_64 as nr
from replant.resources.task import membarrier
from replant.resources.task.membarrier import State

PRIVATE_EXPEDITED = 1 << 3


def test_round_trip() -> None:
    """Registering for some commands registers for others too: what the kernel then says is what is kept."""
    for command in (*numbers.REGISTRATIONS, sum(numbers.REGISTRATIONS)):
        with Child() as child:
            make(membarrier, State(command), child)
            state = read(membarrier, child)
        assert state.registered & command == command
        assert again(membarrier, state) == state


def test_it_acts() -> None:
    with Child() as child:
        assert read(membarrier, child) is None
        assert child.call(nr.membarrier, PRIVATE_EXPEDITED, 0, 0).ret == -errno.EPERM
        make(membarrier, State(numbers.REGISTER_PRIVATE_EXPEDITED), child)
        assert child.call(nr.membarrier, PRIVATE_EXPEDITED, 0, 0).ret == 0
