"""Blockers in one voice: what, where, why, and what the user can do."""

from __future__ import annotations

from replant.errors import Blocker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.model.tree import File
    from replant.resources.protocol import FileFacts


def refuse(f: FileFacts, why: str, hint: str = "", code: str = "unsupported") -> Blocker:
    """The Blocker that says at dump why ``f`` cannot be kept."""
    return Blocker(f"{f.where} ({f.link}): {why}", code=code, pid=f.pid, resource=f.where, hint=hint)


def hinder(file: File, path: str, why: str, hint: str = "", code: str = "file-changed") -> Blocker:
    """The Blocker that says at restore why ``file`` cannot be made again."""
    return Blocker(f"{path}: {why} (file {file.number} of the image)", code=code, resource=path, hint=hint)
