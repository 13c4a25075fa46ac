"""locked_future: what is mapped later is locked, all at once or on fault."""

from __future__ import annotations

import pytest
from task_child import Child, make, read

from replant.abi import mman
from replant.abi import x86_64 as nr
from replant.errors import Blocker
from replant.observe import procfs
from replant.resources.task import locked_future
from replant.resources.task.locked_future import State

HOW = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS


def mapped(child: Child) -> int:
    return child.call(nr.mmap, 0, mman.PAGE, mman.PROT_READ | mman.PROT_WRITE, HOW, -1, 0).ret


def found(child: Child) -> State | None:
    """As a dump does it: what was locked at the stop, then one more mapping, then a look."""
    before = procfs.status(child.pid)
    mapped(child)
    state: State | None = read(locked_future, child, status=before)
    return state


@pytest.mark.parametrize("on_fault", [False, True])
def test_round_trip(on_fault: bool) -> None:
    with Child() as child:
        make(locked_future, State(on_fault), child)
        mapped(child)
        assert found(child) == State(on_fault)


def test_a_lock_of_what_is_there_says_nothing_of_what_comes() -> None:
    with Child() as child:
        child.call(nr.mlock2, mapped(child), mman.PAGE, 0)
        assert procfs.status(child.pid).vm_locked
        assert found(child) is None


def test_of_two_sorts() -> None:
    with Child() as child:
        make(locked_future, State(False), child)
        child.call(nr.mlock2, mapped(child), mman.PAGE, mman.MLOCK_ONFAULT)
        with pytest.raises(Blocker, match="MCL_FUTURE"):
            found(child)
