"""Section 3: signals, by programs that check themselves; the rest of it stands with the kinds of tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from behaviours.keeping import ask, kept, through
from live.compile import compiled
from live.program import Program

pytestmark = pytest.mark.isolated


def test_owners_of_io_signals(tmp_path: Path) -> None:
    kept(tmp_path, "signals.owners", "signals.owner_without_async", "signals.owner_of_a_pipe_in_a_child")


def test_masks_of_waiting_calls(tmp_path: Path) -> None:
    kept(tmp_path, "signals.masks_of_waiting_calls")


def test_parent_death_signal(tmp_path: Path) -> None:
    kept(tmp_path, "signals.parent_death")


def test_a_pending_trap(tmp_path: Path) -> None:
    kept(tmp_path, "signals.pending_trap")


def test_nested_handlers(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with Program.start([str(compiled(Path(__file__).parent / "frames.c", tree))], tree) as program:
        program.until_ready()
        ask(program)
        through(program, tmp_path, times=2)
