"""unsupported: what cannot be kept is refused by name; a thread without it is not."""

from __future__ import annotations

import struct

import pytest
from task_child import Child, facts, read

from replant.abi import x86_64 as nr
from replant.abi.call import Answer
from replant.errors import Blocker, Bug
from replant.resources.task import unsupported

ABSENT = [Answer(-22, [bytes(8)]) for _ in unsupported.ASKS]


def test_none() -> None:
    with Child() as child:
        assert read(unsupported, child) is None


def test_local_descriptor_table() -> None:
    with Child() as child:
        segment = struct.pack("<IIII", 0, 0x10000, 0xFFFFF, 0x51)  # 32-bit data, limit in pages, usable
        if child.call(nr.modify_ldt, 1, segment, 16).ret < 0:
            pytest.skip("this kernel has no modify_ldt")
        with pytest.raises(Blocker, match="local descriptor table") as refused:
            read(unsupported, child)
        assert (refused.value.code, refused.value.pid) == ("ldt", child.pid)


@pytest.mark.parametrize(("keyring", "name"), [(-1, "thread"), (-2, "process")])
def test_keyrings(keyring: int, name: str) -> None:
    with Child() as child:
        if child.call(nr.keyctl, 0, keyring, 1).ret < 0:
            pytest.skip("this kernel has no keyrings")
        with pytest.raises(Blocker, match=f"{name} keyring"):
            read(unsupported, child)


@pytest.mark.parametrize(
    ("row", "answer", "code"),
    [
        (0, Answer(0, [b"\x01" + bytes(7)]), "shadow-stack"),
        (1, Answer(0, [b"\xff" * 7 + b"\x81"]), "address-tags"),
        (3, Answer(0, [b"\x12" * 8]), "core-cookie"),
    ],
)
def test_answers(row: int, answer: Answer, code: str) -> None:
    answers = list(ABSENT)
    answers[row] = answer
    with Child() as child:
        t = facts(child)
        assert unsupported.read(t, ABSENT) is None
        with pytest.raises(Blocker) as refused:
            unsupported.read(t, answers)
    assert refused.value.code == code


def test_there_is_nothing_to_make() -> None:
    with pytest.raises(Bug):
        unsupported.make(unsupported.State(), 1, None, None)  # type: ignore[arg-type]
