"""The conductor of ``replant cleanup``: what kinds have left in the kernel for trees that are away, or died halfway."""

from __future__ import annotations

import os
from _functools import partial  # type: ignore[import-not-found]  # functools takes milliseconds

from replant.errors import ImageError, UsageError
from replant.image.container import open_image
from replant.resources import registry
from replant.resources.shared.leftover import AWAY, IN_USE, LEFT_OVER, Leftover

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.model.tree import File

__all__ = ["AWAY", "IN_USE", "LEFT_OVER", "Leftover", "leftovers", "remove"]


def leftovers() -> list[Leftover]:
    """Everything of ours that this host has, in use or not."""
    found = []
    for name, kind in registry.with_hook("leftovers").items():
        found += registry.hook(kind, "leftovers")(partial(_files, name))
    return found


def remove(names: Sequence[str] = ()) -> list[Leftover]:
    """Take away what is left over, or what has these names, and say what that was.

    :raises UsageError: there is nothing of such a name, or a command that is at work uses it.
    """
    there = leftovers()
    known = {found.name: found for found in there if found.state != IN_USE}
    for name in names:
        if name not in known:
            hint = "'replant cleanup' lists what there is; what is in use goes with the command that uses it"
            raise UsageError(f"nothing that is named {name!r} can be taken away", code="usage", hint=hint)
    gone = [known[name] for name in names] or [found for found in there if found.state == LEFT_OVER]
    for kind in registry.with_hook("leftovers").values():
        registry.hook(kind, "clear")([found.name for found in gone])
    return gone


def _files(kind: str, path: str) -> list[File] | None:
    """The files of a kind in an image, None where there is no such image."""
    if not os.path.isdir(path):
        return None
    try:
        with open_image(path) as image:
            return [file for file in image.model(registry.state_class).files if file.kind == kind]
    except (ImageError, FileNotFoundError):
        return None
