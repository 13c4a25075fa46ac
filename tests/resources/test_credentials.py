"""credentials: every kind of them, reached from user 0; several shapes that services and containers have."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_child import Child, again, facts, make, read

from replant.abi import capability as cap
from replant.errors import Blocker
from replant.resources.task import credentials
from replant.resources.task.credentials import State

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changes user ids: needs root")


def ours() -> State:
    with Child() as child:
        return read(credentials, child)


FULL = ours() if os.geteuid() == 0 else None
assert FULL is None or FULL.permitted, "a root without capabilities cannot run these tests"

SHAPES = {
    "root": {},
    "user": {"uids": (1000,) * 4, "gids": (1000,) * 4, "groups": (4, 24, 1000), "permitted": 0, "effective": 0},
    "root without capabilities": {"permitted": 0, "effective": 0, "bounding": 0},
    "setuid program": {"uids": (1000, 0, 0, 0), "gids": (1000,) * 4},
    "setuid program that has stepped back": {"uids": (1000, 1000, 0, 1000), "effective": 0},
    "every id another": {"uids": (1, 2, 3, 4), "gids": (5, 6, 7, 8), "groups": (), "effective": 1 << 3},
    "service with one ambient capability": {
        "uids": (33,) * 4,
        "gids": (33,) * 4,
        "groups": (33,),
        "inheritable": 1 << 10,
        "permitted": 1 << 10,
        "effective": 1 << 10,
        "bounding": 1 << 10,
        "ambient": 1 << 10,
        "no_new_privs": True,
    },
    "container": {"permitted": 0xA80425FB, "effective": 0xA80425FB, "bounding": 0xA80425FB, "inheritable": 0xA80425FB},
    "inheritable beyond the bounding set": {"inheritable": 1 << 12 | 1 << 21, "bounding": 0},
    "permitted, not effective": {"uids": (7,) * 4, "effective": 0, "securebits": cap.SECBIT_KEEP_CAPS},
    "all secure bits locked": {"securebits": 0xEF, "ambient": 1 << 5, "inheritable": 1 << 5},
    "unsorted highest ids": {"uids": (2**32 - 2,) * 4, "gids": (2**32 - 2,) * 4, "groups": (2**32 - 2, 0)},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip(shape: str) -> None:
    state = FULL._replace(**SHAPES[shape])
    state = state._replace(groups=tuple(sorted(state.groups)))  # the kernel sorts them
    found = again(credentials, state)
    assert found == state


def test_from_another_start() -> None:
    """A stub whose restorer has ambient and inheritable capabilities of its own."""
    with Child() as child:
        make(credentials, FULL._replace(inheritable=1 << 5, ambient=1 << 5), child)
        state = FULL._replace(inheritable=1 << 5)
        make(credentials, state, child)
        assert read(credentials, child) == state


def test_refused_when_a_capability_is_missing() -> None:
    with pytest.raises(Blocker, match="CAP_60") as refused:
        credentials.check(FULL._replace(bounding=FULL.bounding | 1 << 60), 4242)
    assert refused.value.pid == 4242
    with pytest.raises(Blocker, match="CAP_50"):
        credentials.check(FULL._replace(permitted=1 << 50), 4242)


def test_owner_of_proc_files_follows() -> None:
    with Child() as child:
        make(credentials, FULL._replace(uids=(1000,) * 4, gids=(1000,) * 4, permitted=0, effective=0), child)
        assert facts(child).status.uids == (1000,) * 4
        assert os.stat(f"/proc/{child.pid}/fd").st_uid in (0, 1000)


@given(*[st.integers(0, 2**64 - 1)] * 3)
def test_capability_sets_are_packed_as_they_are(effective: int, permitted: int, inheritable: int) -> None:
    sets = (effective, permitted, inheritable)
    assert cap.unpack(cap.pack(*sets)) == sets
    assert sum(1 << n for n in cap.numbers(effective)) == effective
