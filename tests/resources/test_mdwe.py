"""mdwe: memory that was writable cannot be made executable, after the restore as before."""

from __future__ import annotations

import errno

import pytest
from task_child import Child, make, read

from replant.abi import x86_64 as nr
from replant.resources.task import mdwe
from replant.resources.task.mdwe import State


@pytest.mark.parametrize("flags", [1, 3])
def test_round_trip(flags: int) -> None:
    with Child() as child:
        assert read(mdwe, child) is None
        make(mdwe, State(flags), child)
        assert read(mdwe, child) == State(flags)
        at = child.call(nr.mmap, 0, 4096, 3, 0x22, -1, 0).ret
        assert child.call(nr.mprotect, at, 4096, 5).ret == -errno.EACCES


def test_nothing_is_mapped_afterwards() -> None:
    assert "mapping" in mdwe.SPOILS
