"""What kinds hold still while a tree is made again: from before its first descriptor until it is about to run."""

from __future__ import annotations

from replant.resources import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.flows.program import Program
    from replant.model.tree import File
    from replant.resources.protocol import Hold


class Holding:
    """The holds of all kinds of a program; `end` whatever happens."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._holds: list[Hold] = []

    def begin(self) -> None:
        """Hold what kinds want held. :raises Blocker: it cannot be."""
        by_kind: dict[str, list[File]] = {}
        for file in self._program.model.files:
            if registry.hook(registry.file_kind(file.kind), "receive") is not None:
                by_kind.setdefault(file.kind, []).append(file)
        for name, files in by_kind.items():
            held = registry.file_kind(name).receive(files, self._program)  # type: ignore[union-attr]
            if held is not None:
                self._holds.append(held)

    def let_go(self) -> None:
        """The tree is complete, and about to run."""
        for held in self._holds:
            held.before("run")

    def end(self) -> None:
        """It runs, or has failed."""
        while self._holds:
            self._holds.pop().after("run")
