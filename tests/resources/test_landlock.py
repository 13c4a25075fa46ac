"""landlock: a domain shows by what it denies; nothing is made by looking."""

from __future__ import annotations

import os
import struct

import pytest
from task_child import Child, read

from replant.abi import x86_64 as nr
from replant.errors import Blocker, Bug
from replant.resources.task import landlock

LANDLOCK_ACCESS_FS_REFER = 1 << 13


def test_none() -> None:
    with Child() as child:
        assert read(landlock, child) is None


def test_nothing_is_made() -> None:
    assert landlock.ASKS, "no pair of directories on one mount"
    for call in landlock.ASKS:
        assert not os.path.lexists(bytes(call.args[3]).rstrip(b"\0"))  # type: ignore[arg-type]


def test_a_domain_is_refused() -> None:
    with Child() as child:
        ruleset = child.call(nr.landlock_create_ruleset, struct.pack("<Q", LANDLOCK_ACCESS_FS_REFER), 8, 0).ret
        if ruleset < 0:
            pytest.skip("this kernel has no landlock")
        child.call(nr.prctl, 38, 1, 0, 0, 0)
        assert child.call(nr.landlock_restrict_self, ruleset, 0).ret == 0
        with pytest.raises(Blocker, match="landlock") as refused:
            read(landlock, child)
        assert refused.value.pid == child.pid


def test_there_is_nothing_to_make() -> None:
    with pytest.raises(Bug):
        landlock.make(landlock.State(), 1, None, None)  # type: ignore[arg-type]
