"""Threads that are like others are not asked, and what is known of them is what they would have answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from live.compile import compiled
from live.program import Program
from replant.errors import Refused
from replant.flows.alike import Alike
from replant.flows.capture import look
from replant.flows.facts import Facts
from replant.model.tree import Attribute, Model
from replant.observe.observer import Observer
from replant.resources import registry
from replant.tracee.inside import Inside

HERE = Path(__file__).parent
APART = {"files": "unshared", "fs": "unshared", "uts": "namespace", "io": "shared"}


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program.start([str(compiled(HERE / "alike.c", tmp_path))], tmp_path) as program:
        program.until_ready()
        yield program


@pytest.fixture
def visits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that are sent inside, in order."""
    sent: list[int] = []
    start = Inside.start

    def noted(self: Inside, thread: Any, questions: Any) -> None:
        sent.append(thread.tid)
        start(self, thread, questions)

    monkeypatch.setattr(Inside, "start", noted)
    return sent


def unlike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Facts, "told", lambda *_: None)


def attributes(model: Model) -> dict[tuple[int, str], object]:
    """All but what no thread is asked for, and what moves while it waits."""
    return {(a.tid, a.kind): a.state for a in model.attributes if a.kind != "registers"}


def test_what_is_not_asked_is_what_would_have_been_answered(
    program: Program, visits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if Observer().source != "bpf":
        pytest.skip("no BPF here")
    model = look(program.root)[0]
    quick, few = attributes(model), len(set(visits))
    visits.clear()
    unlike(monkeypatch)
    threads = model.tasks[0].threads
    assert attributes(look(program.root)[0]) == quick
    assert len(set(visits)) == len(threads)
    assert few < len(threads)


def test_each_sort_was_told_apart(program: Program) -> None:
    found: dict[str, set[object]] = {}
    for a in look(program.root)[0].attributes:
        found.setdefault(a.kind, set()).add(a.state)
    several = {kind for kind, states in found.items() if len(states) > 1}
    assert several >= {"name", "timer_slack", "personality", "credentials", "memory_failure", "scheduling"}
    assert {"parent_death", "tsc", "altstack", "seccomp"} <= found.keys()


def test_where_bpf_tells_nothing_all_are_asked(
    program: Program, visits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Observer, "_start_bpf", lambda self: self._distrust("a test"))
    threads = look(program.root)[0].tasks[0].threads
    assert set(visits) == {*threads}


def threads_of(**more: object) -> Alike:
    kinds: dict[str, Any] = {n: k for n, k in registry.task_kinds().items() if k.SCOPE == "thread"}
    return Alike({**kinds, **more})


def test_a_kind_that_asks_and_names_no_fields_has_every_thread_asked() -> None:
    assert threads_of().fields

    class Asks:
        ASKS = (object(),)

    assert not threads_of(new=Asks).fields


def test_a_thread_of_which_something_is_not_known_is_like_no_other() -> None:
    alike = threads_of()
    told = {2: (1,) * len(alike.all_fields), 3: None}

    def tell(tid: int, fields: object) -> tuple[object, ...] | None:
        return told[tid]

    alike.remember(1, 2, tell, [Attribute("name", 2, registry.task_kinds()["name"].State(b"x"))])
    assert alike.are(1, 2, 2, tell)
    assert not alike.are(1, 2, 3, tell)
    assert not alike.are(1, 3, 3, tell)
    assert alike.states(1, 3, tell) is None
    assert alike.states(9, 2, tell) is None, "threads of another process are others"


@pytest.mark.parametrize("what", ["files", "fs", "uts", "io"])
@pytest.mark.parametrize("tells", [True, False], ids=["told", "asked"])
def test_a_thread_apart_is_refused_among_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, tells: bool
) -> None:
    if not tells:
        unlike(monkeypatch)
    with Program.start([str(compiled(HERE / "alike.c", tmp_path)), what], tmp_path) as program:
        program.until_ready()
        with pytest.raises(Refused) as refused:
            look(program.root)
    last = int((tmp_path / "ready").read_text())
    assert [(b.code, b.pid) for b in refused.value.blockers] == [(APART[what], last)]
