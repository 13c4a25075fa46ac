"""What of a tree stays in the kernel while it is away, and may be left over when something went wrong."""

from __future__ import annotations

from replant.model.frozen import Frozen

IN_USE, AWAY, LEFT_OVER = "in use", "away", "left over"


class Leftover(Frozen):
    """``state``: `IN_USE` by a command at work, waiting for the restore of an image (`AWAY`), or good for nothing."""

    name: str
    what: str
    image: str
    state: str
    why: str
