"""seccomp: strict mode and filters are on again after a restore, per thread, with the common beginnings of chains."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from task_child import Child, read

from live.command import replant
from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, every_mode, roundtrip
from replant.abi.call import Call, Track
from replant.abi.seccomp import RET_USER_NOTIF
from replant.errors import Blocker, ImageError
from replant.resources.task import seccomp
from replant.resources.task.seccomp import Filter, State

HERE = Path(__file__).parent
ALLOW = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
NOTIFY = struct.pack("<HBBI", 0x06, 0, 0, RET_USER_NOTIF)


def program(folder: Path, *words: str) -> Program:
    made = Program.start([str(compiled(HERE / "seccomp.c", folder)), *words], folder)
    made.until_ready()
    made.ask()
    return made


@pytest.mark.isolated
@every_mode
def test_sandboxes(mode: Mode, tmp_path: Path) -> None:
    """Filters of each thread, inherited ones and its own; strict mode; a process that may do next to nothing."""
    folder = tmp_path / "program"
    folder.mkdir()
    with program(folder, "e") as p:
        roundtrip(p, p.ask, mode)


@pytest.mark.isolated
@pytest.mark.parametrize("restored", [False, True])
def test_one_filter_for_all_threads_and_what_is_forbidden_kills(tmp_path: Path, restored: bool) -> None:
    folder = tmp_path / "program"
    folder.mkdir()
    with program(folder) as p:
        if restored:
            roundtrip(p, p.ask)
        (folder / "last").touch()
        p.ask()


@pytest.mark.isolated
def test_the_image_has_chains_of_each_thread(tmp_path: Path) -> None:
    folder = tmp_path / "program"
    folder.mkdir()
    with program(folder, "e") as p:
        replant("dump", p.root, "-o", tmp_path / "image")
        shown = json.loads(replant("show", tmp_path / "image", "--json").stdout)
        states = [a["state"] for a in shown["attributes"] if a["kind"] == "seccomp"]
        lengths = sorted(len(s["filters"]) for s in states)
        assert lengths == [0, 1, 2, 3, 3, 4]
        assert [s["strict"] for s in states].count(True) == 1
        assert any(f["log"] for s in states for f in s["filters"])


def test_none() -> None:
    with Child() as child:
        assert read(seccomp, child) is None


def thread(mode: int, *filters: bytes) -> Any:
    given = [(0, f) for f in filters]
    return SimpleNamespace(tid=7, status=SimpleNamespace(seccomp=mode), seccomp_filters=given)


def test_a_supervisor_is_refused() -> None:
    assert seccomp.read(thread(2, ALLOW), ()) == State(False, (Filter(ALLOW, False),))
    with pytest.raises(Blocker, match="supervisor"):
        seccomp.read(thread(2, ALLOW, NOTIFY), ())


def test_what_is_no_filter_is_no_image() -> None:
    for size in (0, 7, 8 * 4097):
        with pytest.raises(ImageError):
            seccomp.check(State(False, (Filter(bytes(size), False),)), 7)


def test_who_may_not_suspend_is_told() -> None:
    seccomp._memo[:] = [False]
    try:
        with pytest.raises(Blocker, match="may not make again"):
            seccomp.check(State(True, ()), 7)
    finally:
        seccomp._memo.clear()


class Chains:
    """Threads with chains of letters, built by the plan and looked at afterwards."""

    def __init__(self, **chains: str) -> None:
        self.names = dict(enumerate(chains, 1))
        self.numbers = {name: number for number, name in self.names.items()}
        states = {
            n: State(False, tuple(Filter(c.encode() * 8, False) for c in chains[self.names[n]])) for n in self.names
        }
        restore: Any = SimpleNamespace(place=lambda data: data[0])
        self.plan = seccomp.births(list(self.names), states, restore)
        self.grown: dict[str, list[tuple[str, int]]] = {}
        self.serial = 0
        self.live(1, [])

    def live(self, tid: int, chain: list[tuple[str, int]]) -> None:
        """Follow the plan of a thread; each filter gets a serial number, so that equal ones can be told apart."""
        chain = list(chain)
        for step in self.plan.get(tid, ()):
            if isinstance(step, Call):
                self.serial += 1
                assert isinstance(step.args[2], bytes)
                chain.append((chr(step.args[2][8]), self.serial))
            else:
                self.live(step, chain)
        self.grown[self.names[tid]] = chain


def test_threads_are_cloned_where_their_chains_part() -> None:
    chains = {"leader": "ab", "one": "abc", "two": "abc", "three": "abd", "four": "", "five": "x", "six": "abcd"}
    made = Chains(**chains)
    assert {name: "".join(c for c, _ in chain) for name, chain in made.grown.items()} == chains
    grown = made.grown
    assert grown["one"] == grown["two"] == grown["six"][:3]
    assert grown["leader"] == grown["one"][:2] == grown["three"][:2]


def test_threads_without_any_are_cloned_by_the_leader() -> None:
    plan = seccomp.births([5, 6, 7], {}, None)  # type: ignore[arg-type]
    assert plan == {5: [6, 7]}


def test_filters_are_not_made_twice() -> None:
    on = Track("7")
    seccomp.make(State(False, (Filter(ALLOW, False),)), 7, on, None)  # type: ignore[arg-type]
    assert on.calls == []
