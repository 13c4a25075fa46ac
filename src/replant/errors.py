"""What can go wrong, in words: every error says what, where, why, and what the user can do."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class ReplantError(Exception):
    """Something was refused or failed; the target was left as it was.

    ``code`` is a stable word for programs (``task-gone``, ``image-corrupt``), ``pid`` the task concerned,
    ``resource`` the object (``fd 7``, ``7f00-8000``, a path), ``hint`` what the user can do.
    """

    exit_code = 1
    recorded = False  # whether the process that raised it has it in the journal

    def __init__(
        self,
        message: str,
        *,
        code: str = "failed",
        pid: int | None = None,
        resource: str | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.pid = pid
        self.resource = resource
        self.hint = hint

    def as_dict(self) -> dict[str, object]:
        """The error as it stands in the answer to ``--json``."""
        return {
            "error": str(self),
            "code": self.code,
            "pid": self.pid,
            "resource": self.resource,
            "hint": self.hint,
        }


class Blocker(ReplantError):
    """One thing that makes a dump or a restore impossible; collected, and told all at once."""


class Refused(ReplantError):
    """A dump or a restore is impossible as things stand; ``blockers`` says why, completely."""

    def __init__(self, message: str, blockers: Sequence[Blocker]) -> None:
        first = blockers[0] if blockers else None
        super().__init__(
            message,
            code="refused",
            pid=first.pid if first else None,
            resource=first.resource if first else None,
            hint=first.hint if first else "",
        )
        self.blockers = once(blockers)

    def as_dict(self) -> dict[str, object]:
        """The error with every blocker."""
        return {**super().as_dict(), "blockers": [b.as_dict() for b in self.blockers]}


def once(blockers: Iterable[Blocker]) -> tuple[Blocker, ...]:
    """Each of them once, though several objects may have met the same obstacle."""
    return tuple({(b.code, b.pid, b.resource, str(b)): b for b in blockers}.values())


class TaskGone(ReplantError):
    """A task ended while it was being looked at."""

    def __init__(self, pid: int, doing: str) -> None:
        super().__init__(
            f"task {pid} ended while {doing}",
            code="task-gone",
            pid=pid,
            hint="run the command again once the process tree is stable",
        )


class ImageError(ReplantError):
    """An image is truncated, damaged, hostile, or newer than this version; codes start with ``image-``."""


class UsageError(ReplantError):
    """The words of a command are wrong."""

    exit_code = 2


class Bug(ReplantError):
    """An assumption of ours does not hold: a bug of replant, not of the user's."""

    exit_code = 3
