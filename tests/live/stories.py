"""Takes a program of episodes (``programs/episodes.py``) through dumps and restores."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from pathlib import Path

from live import wait
from live.program import Program
from live.roundtrip import MODES, Mode, roundtrip
from replant.abi import x86_64

#: Neighbouring anonymous mappings that the kernel kept apart may be one afterwards; other tests are about memory.
MEMORY = ("anon", "mapping")
_SRC = Path(__file__).parents[2] / "src"
PROGRAMS = Path(__file__).parents[1] / "programs"


def episodes(program: Path) -> list[str]:
    """The names of the episodes that a program knows: its public functions that yield."""
    functions = [node for node in ast.parse(program.read_text()).body if isinstance(node, ast.FunctionDef)]
    return [f.name for f in functions if not f.name.startswith("_") and any(map(_yields, ast.walk(f)))]


def _yields(node: ast.AST) -> bool:
    return isinstance(node, ast.Yield)


def started(program: Path, folder: Path, names: Sequence[str]) -> Program:
    """The program in ``folder``, with these episodes set up."""
    folder.mkdir(exist_ok=True)
    paths = f"{PROGRAMS}:{_SRC}"
    return Program.start([sys.executable, str(program), *names], folder, {"PYTHONPATH": paths})


def go_on(
    program: Path,
    folder: Path,
    names: Sequence[str],
    mode: Mode = MODES["plain"],
    times: int = 1,
    options: tuple[str, ...] = (),
    moving: tuple[str, ...] = (),
) -> None:
    """Every episode ends well after each of ``times`` restores."""
    with started(program, folder, names) as it:
        it.until_ready()
        ask(it)
        roundtrip(it, lambda: ask(it), mode, times, options, (*MEMORY, *moving))


def ask(program: Program) -> None:
    """Ask it, and wait until it is at rest: its heap moves no more."""
    program.ask()
    waits = f"{x86_64.rt_sigtimedwait} "
    wait.until(lambda: Path(f"/proc/{program.root}/syscall").read_text().startswith(waits), "it waits for a signal")
