"""Derivations as people see them."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from xml.etree import ElementTree

from replant import derive

sys.path.insert(0, str(Path(__file__).parents[2] / "bench" / "derive"))
from walks import walk

TREE = [
    {"pid": 10, "ppid": 1, "pgid": 10, "sid": 10},
    {"pid": 11, "ppid": 10, "pgid": 5, "sid": 5},
    {"pid": 12, "ppid": 1, "pgid": 5, "sid": 5},
    {"pid": 13, "ppid": 10, "pgid": 13, "sid": 10, "state": "Z"},
]


def test_every_operation_has_a_reason_and_an_index() -> None:
    for seed in range(60):
        found = derive.process_tree(walk(Random(seed), 150, 15))
        text = derive.render_text(found)
        lines = [line for line in text.splitlines() if "#" in line]
        assert sorted(int(line.split()[0]) for line in lines) == list(range(len(found.ops)))
        assert all(line.partition("#")[2].strip() for line in lines)


def test_explaining_a_helper() -> None:
    found = derive.process_tree(TREE)
    text = derive.explain(found, 5)
    assert "session 5 has lost its leader" in text
    assert "its children 12 fall to 1" in text
    assert derive.explain(found, 99) == "no operation concerns 99"


def test_only_one_actor() -> None:
    text = derive.render_text(derive.process_tree(TREE), pid=10)
    assert text.startswith("10:\n") and "\n5" not in text


def test_pictures_show_every_task_and_helper() -> None:
    found = derive.process_tree(TREE)
    dot, svg = derive.to_dot(found), derive.to_svg(found)
    for pid in (5, 10, 11, 12, 13):
        assert f"\n  {pid} [label=" in dot
        assert f">{pid} " in svg
    assert "1 -> 12 [style=dashed" in dot
    assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_the_impossible_says_why() -> None:
    found = derive.process_tree([{"pid": 10, "ppid": 9, "pgid": 1, "sid": 1}])
    assert derive.render_text(found).startswith("impossible: ")
    assert derive.explain(found, 10) == found.why
