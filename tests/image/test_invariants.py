"""Every invariant of a model, broken once."""

from __future__ import annotations

from typing import Any

import pytest

from image.sample import STORE_SIZE, model
from replant.model.frozen import Frozen
from replant.model.invariants import GUARD, violation


def changed(at: Frozen, *path: Any, value: Any) -> Any:
    """A model with one field of one row replaced; numbers in the path are indices of tuples."""
    step, *rest = path
    if isinstance(step, int):
        parts: tuple[Any, ...] = tuple(at)
        new = changed(parts[step], *rest, value=value) if rest else value
        return (*parts[:step], new, *parts[step + 1 :])
    new = changed(getattr(at, step), *rest, value=value) if rest else value
    return at._replace(**{step: new})


def rows(*numbers: int) -> bytes:
    return b"".join(n.to_bytes(8, "little") for n in numbers)


def test_the_sample_holds() -> None:
    assert violation(model(), [STORE_SIZE]) is None
    assert violation(changed(model(), "mms", 0, "runs", value=rows(0x10000, 4096, GUARD)), [0]) is None


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("root",), 99, "the root 99 is no task"),
        (("tasks", 1, "pid"), 10, "pid 10 occurs twice"),
        (("tasks", 1, "threads"), (11, 12), "thread 12 occurs twice"),
        (("tasks", 1, "threads"), (), "task 11: its first thread is not itself"),
        (("tasks", 1, "threads"), (11, -1), "out of range"),
        (("tasks", 1, "threads"), (11, 1 << 22), "out of range"),
        (("tasks", 1, "ppid"), 99, "task 11: its parent 99 is no task"),
        (("tasks", 1, "ppid"), 11, "task 11 is its own ancestor"),
        (("tasks", 1, "ppid"), -1, "out of range"),
        (("tasks", 1, "sid"), 1 << 40, "out of range"),
        (("tasks", 1, "state"), "S", "unknown state 'S'"),
        (("tasks", 1, "exit_signal"), 65, "a signal or the exit code"),
        (("tasks", 1, "stop_signal"), -1, "a signal or the exit code"),
        (("tasks", 2, "exit_code"), 1 << 16, "a signal or the exit code"),
        (("tasks", 0, "cwd"), 7, "cwd, root or exe is no file"),
        (("tasks", 0, "exe"), -1, "cwd, root or exe is no file"),
        (("mms", 1, "pid"), 10, "address space of task 10 occurs twice"),
        (("mms", 1, "pid"), 13, "address space"),
        (("tables", 1, "pid"), 77, "descriptor table"),
        (("tables",), (), "has no descriptor table"),
        (("tables", 0, "entries", 1, "fd"), 0, "descriptor 0 occurs twice"),
        (("tables", 0, "entries", 1, "fd"), -1, "a descriptor is out of range"),
        (("tables", 0, "entries", 1, "file"), 2, "a descriptor refers to file 2"),
        (("files", 1, "number"), 0, "file 0 comes after file 0"),
        (("files", 0, "number"), -1, "file -1 comes after"),
        (("files", 0, "flags"), -1, "flags"),
        (("mms", 0, "vmas", 1, "start"), 0x13000, "overlap"),
        (("mms", 0, "vmas", 1, "end"), 0x20000, "empty"),
        (("mms", 0, "vmas", 0, "start"), -4096, "overlap, are empty or not in order"),
        (("mms", 0, "vmas", 5, "end"), 1 << 57, "not in order"),
        (("mms", 0, "vmas", 1, "end"), 0x24001, "not of whole pages"),
        (("mms", 0, "vmas", 5, "offset"), -4096, "not of whole pages"),
        (("mms", 0, "vmas", 5, "offset"), 1, "not of whole pages"),
        (("mms", 0, "vmas", 5, "prot"), 8, "unknown protection"),
        (("mms", 0, "vmas", 5, "kind"), "../x", "no name of a kind of mapping"),
        (("mms", 0, "vmas", 5, "file"), 2, "a mapping refers to file 2"),
        (("mms", 0, "runs"), b"1234", "cut off"),
        (("mms", 0, "runs"), rows(0x10000, 4095, 0), "no whole pages"),
        (("mms", 0, "runs"), rows(0x10000, 0, 0), "no whole pages"),
        (("mms", 0, "runs"), rows(0x10000, 4096, STORE_SIZE), "outside of the page store"),
        (("mms", 0, "runs"), rows(0x10000, 4096, GUARD - 4096), "outside of the page store"),
        (("mms", 0, "runs"), rows(0x11000, 4096, 0, 0x10000, 4096, 0), "not in order"),
        (("mms", 0, "runs"), rows(0x10000, 8192, 0, 0x11000, 4096, 0), "overlap"),
        (("mms", 0, "runs"), rows(0x13000, 8192, 0), "belong to no private mapping"),
        (("mms", 0, "runs"), rows(0x15000, 4096, 0), "belong to no private mapping"),
        (("mms", 0, "runs"), rows(0x7F0000000000, 4096, 0), "belong to no private mapping"),
        (("attributes", 1, "kind"), "rich", "attribute ('rich', 10) occurs twice"),
        (("attributes", 1, "tid"), 99, "an attribute belongs to 99"),
    ],
)
def test_what_does_not_hold_is_told(path: tuple[Any, ...], value: Any, words: str) -> None:
    found = violation(changed(model(), *path, value=value), [STORE_SIZE])
    assert found is not None and words in found, found
