"""``--map-path OLD=NEW``: what a tree knew below one directory is looked for below another.

The program does not notice: only what the restore opens moves, and what the kernel shows of it (links of /proc).
"""

from __future__ import annotations

from replant.resources import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.model.tree import File
    from replant.policy import Policy

    Pairs = Sequence[tuple[str, str]]


def pairs(policy: Policy) -> Pairs:
    """The pairs that the user named, the longest old path first, as it is the nearest."""
    found = [line.partition("=") for line in policy.choice("map-path").split("\n") if line]
    return sorted([(old.rstrip("/"), new.rstrip("/")) for old, _, new in found], key=lambda pair: -len(pair[0]))


def moved(files: Iterable[File], moves: Pairs) -> list[File]:
    """The same files, at their new places."""
    return [file._replace(state=_moved(file, moves)) for file in files]


def _moved(file: File, moves: Pairs):  # type: ignore[no-untyped-def]
    def to(path: str) -> str:
        return place(path, moves)

    hook = registry.hook(registry.file_kind(file.kind), "moved")
    if hook is not None:
        return hook(file.state, to)
    path = getattr(file.state, "path", "")
    return file.state._replace(path=to(path)) if path.startswith("/") else file.state


def place(path: str, moves: Pairs) -> str:
    """Where a path has gone."""
    for old, new in moves:
        if path == old or path.startswith(old + "/"):
            return (new + path[len(old) :]) or "/"
    return path
