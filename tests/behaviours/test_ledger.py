"""The ledger of behaviours is in order: what it calls kept or refused is shown by tests that exist."""

from __future__ import annotations

from collections import Counter

from behaviours import ledger


def test_each_line_is_in_order() -> None:
    wrong = [f"{line.section} {line.id}: {fault}" for line in ledger.lines() for fault in ledger.faults(line)]
    assert not wrong, "\n".join(wrong)


def test_no_line_is_told_twice() -> None:
    count = Counter(line.id for line in ledger.lines())
    assert not [name for name, times in count.items() if times > 1]


def test_a_line_without_its_test_is_at_fault() -> None:
    line = ledger.Line("10", "pipes.x", "It works.", False, "kept", ("tests/behaviours/test_ledger.py::test_none",), "")
    assert list(ledger.faults(line)) == ["tests/behaviours/test_ledger.py::test_none does not exist"]
    assert list(ledger.faults(line._replace(tests=()))) == ["no test shows it"]
    assert list(ledger.faults(line._replace(state="open", tests=()))) == ["it is not kept, and no reason is given"]
