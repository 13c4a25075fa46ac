"""What a kind holds still besides the stopped tasks, at a dump and at a restore; see `replant.resources.protocol`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class Hold(Protocol):
    """What a kind holds still outside of the stopped tasks, until they are let go of. ``how``: run, stop or kill."""

    def before(self, how: str) -> None:
        """The tasks are about to be let go of, or to be killed."""
        ...

    def after(self, how: str) -> None:
        """They have been. Called in any case, also if nothing was let go of because of an error."""
        ...
