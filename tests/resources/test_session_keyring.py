"""session_keyring: keys of a session of its own are refused, the common session is not."""

from __future__ import annotations

import pytest
from task_child import Child, read

from replant.abi import x86_64 as nr
from replant.errors import Blocker, Bug
from replant.resources.task import session_keyring

JOIN, CLEAR, SESSION = 1, 7, -3


def test_none() -> None:
    with Child() as child:
        assert read(session_keyring, child) is None


def test_keys_of_a_session() -> None:
    with Child() as child:
        if child.call(nr.keyctl, JOIN, 0).ret < 0:
            pytest.skip("this kernel has no keyrings")
        assert read(session_keyring, child) is None
        assert child.call(nr.add_key, b"user", b"name", b"secret", 6, SESSION).ret > 0
        with pytest.raises(Blocker, match="session keyring holds keys") as refused:
            read(session_keyring, child)
        assert (refused.value.code, refused.value.pid) == ("keyring", child.pid)
        child.call(nr.keyctl, CLEAR, SESSION)
        assert read(session_keyring, child) is None


def test_there_is_nothing_to_make() -> None:
    with pytest.raises(Bug):
        session_keyring.make(session_keyring.State(), 1, None, None)  # type: ignore[arg-type]
