"""The ledger: every behaviour that a checkpoint must preserve, whether it is, and the tests that show it.

``lines/NN_name.toml`` holds section NN. A line is ``kept`` (read back through the kernel it is equal, and the program
uses it as before), ``refused`` (the dump says what and why, the tree is unharmed), or ``open``, with the reason. Lines
that are ``beyond`` what such lists customarily hold are counted apart.
"""

from __future__ import annotations

import ast
import functools
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
LINES = Path(__file__).parent / "lines"
STATES = ("kept", "refused", "open")


class Line(NamedTuple):
    """One behaviour; ``tests`` are pytest's node ids without parameters."""

    section: str
    id: str
    says: str
    beyond: bool
    state: str
    tests: tuple[str, ...]
    why: str


def lines() -> Iterator[Line]:
    """Every line of the ledger, in the order of its sections."""
    for file in sorted(LINES.glob("*.toml")):
        for entry in tomllib.loads(file.read_text())["line"]:
            rest = {"beyond": False, "tests": (), "why": "", **entry}
            yield Line(section=file.stem, **{**rest, "tests": tuple(rest["tests"])})


def faults(line: Line) -> Iterator[str]:
    """What is wrong with a line: a state that is none, a reason or a test that is missing or does not exist."""
    if line.state not in STATES:
        yield f"{line.state!r} is none of {STATES}"
    if line.state != "open" and not line.tests:
        yield "no test shows it"
    if line.state != "kept" and not line.why:
        yield "it is not kept, and no reason is given"
    for node in line.tests:
        path, _, name = node.partition("::")
        if name not in functions(path):
            yield f"{node} does not exist"


@functools.cache
def functions(path: str) -> frozenset[str]:
    """The names of the tests in a file, none if there is no such file."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    found = ast.walk(ast.parse(file.read_text()))
    return frozenset(node.name for node in found if isinstance(node, ast.FunctionDef) and node.name.startswith("test"))


def share() -> str:
    """How many lines are in which state, in one sentence."""
    count = Counter((line.beyond, line.state) for line in lines())
    usual, further = (", ".join(f"{count[beyond, s]} {s}" for s in STATES) for beyond in (False, True))
    return f"behaviours: {usual}; beyond the usual: {further}"
