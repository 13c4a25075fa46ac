"""JSON Lines in, JSON Lines out: one tree a line, one answer a line, in order, each as soon as it is found."""

from __future__ import annotations

import json

from ..errors import ReplantError, UsageError
from .linux.process_tree import process_tree
from .linux.target import refuse_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, TextIO


def answers(lines: Iterable[str]) -> Iterator[str]:
    """The answer to each line, a JSON object without line end; empty lines are passed over.

    :raises UsageError: at a line that is no tree; the line's number is its ``resource``.
    """
    encode = json.JSONEncoder(separators=(",", ":")).encode
    for number, line in enumerate(lines, 1):
        if line.isspace() or not line:
            continue
        try:
            yield encode(process_tree(_tasks(line)).as_dict())
        except ReplantError as error:
            error.resource = error.resource or f"line {number}"
            raise


def answer(lines: Iterable[str], out: TextIO) -> None:
    """Write the answer to each of ``lines`` to ``out``."""
    for text in answers(lines):
        out.write(text)
        out.write("\n")


def _tasks(line: str) -> list[dict[str, Any]]:
    try:
        tree = json.loads(line)
    except ValueError as error:
        raise UsageError(f"not JSON: {error}", code="bad-tree", hint="one JSON object a line") from None
    if isinstance(tree, dict) and isinstance(tree.get("tasks"), list):
        refuse_keys(tree, ("tasks",))
        tasks: list[dict[str, Any]] = tree["tasks"]
        return tasks
    if isinstance(tree, dict):
        refuse_keys(tree, ("tasks",))
    raise UsageError("not a tree", code="bad-tree", hint='a tree is {"tasks": [{"pid": 10, "ppid": 1, …}, …]}')
