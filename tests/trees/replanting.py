"""One random tree: grown by real calls, dumped and killed, restored, compared in everything that `diff` sees."""

from __future__ import annotations

from pathlib import Path

from live import wait
from live.compile import compiled
from live.program import Program
from replant.flows.capture import inspect
from replant.flows.diff import diff
from replant.flows.dump import dump
from replant.flows.restore import restore
from replant.model.tree import Task

HERE = Path(__file__).parent


def replant_one(program: Path, folder: Path, seed: int, tasks: int) -> list[str]:
    """What differs after a random tree was uprooted and replanted, in words; none, if it is equal."""
    folder.mkdir()
    with Program.start([str(program), str(seed), str(tasks)], folder) as tree:
        tree.until_ready()
        wait.until(lambda: dead_are_dead(tree.root), "those who exit have exited")
        dump(tree.root, str(folder / "image"), kill=True)
        tree.reap()
        restore(str(folder / "image"))
        return [f"{d.where}: {d.kind}: {d.what}" for d in diff(str(folder / "image"), tree.root)]


def dead_are_dead(root: int) -> bool:
    """No task is between its last count and its end: what is there twice in a row is at rest."""
    return shape(root) == shape(root)


def shape(root: int) -> list[Task]:
    """The tasks of a tree."""
    return list(inspect(root).tasks)


def build(folder: Path) -> Path:
    """The program that grows trees."""
    return compiled(HERE / "random_tree.c", folder)
