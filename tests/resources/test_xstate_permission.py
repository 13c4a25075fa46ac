"""xstate_permission: AMX; where the CPU has none, the answers and the refusal."""

from __future__ import annotations

import pytest
from task_child import Child, again, facts, read

from replant.abi import x86_64 as nr
from replant.abi.call import Answer
from replant.abi.prctl import ARCH_REQ_XCOMP_PERM
from replant.errors import Blocker
from replant.resources.task import xstate_permission
from replant.resources.task.xstate_permission import State

AMX = State(1 << 18)


def test_round_trip() -> None:
    with Child() as child:
        assert read(xstate_permission, child) is None
        if child.call(nr.arch_prctl, ARCH_REQ_XCOMP_PERM, 18).ret < 0:
            with pytest.raises(Blocker, match="AMX"):
                xstate_permission.check(AMX, child.pid)
            pytest.skip("this CPU has no AMX")
        assert read(xstate_permission, child) == AMX
    assert again(xstate_permission, AMX) == AMX


def test_answers() -> None:
    with Child() as child:
        t = facts(child)
        assert xstate_permission.read(t, [Answer(0, [(0x602E7 | 1 << 18).to_bytes(8, "little")])]) == AMX
        assert xstate_permission.read(t, [Answer(0, [(0x202E7).to_bytes(8, "little")])]) is None
        assert xstate_permission.read(t, [Answer(-22, [bytes(8)])]) is None
