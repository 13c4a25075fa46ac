"""A feature of a host: what is probed, shown by ``replant check``, and asked for before a dump or a restore."""

from __future__ import annotations

import errno
import os

NOT_ALLOWED = "run as root; in a container, allow this system call in its seccomp profile"


class Feature:
    """One thing that a host has or lacks: ``serves`` says what for, ``fix`` what to do where it is missing."""

    __slots__ = ("detail", "fix", "name", "present", "required", "serves")

    def __init__(self, name: str, present: bool, detail: str, serves: str, fix: str, required: bool = True) -> None:
        self.name = name
        self.present = present
        self.detail = detail
        self.serves = serves
        self.fix = fix
        self.required = required

    def as_dict(self) -> dict[str, object]:
        """The feature as it stands in the answer to ``--json``."""
        return {name: getattr(self, name) for name in ("name", "present", "required", "detail", "serves", "fix")}

    def __repr__(self) -> str:
        return f"Feature({self.name!r}, present={self.present}, detail={self.detail!r})"


def word(got: int) -> str:
    """What a system call answered, in words; ``got`` is its result or minus the error number."""
    return "works" if got >= 0 else f"{errno.errorcode.get(-got, -got)}: {os.strerror(-got)}"
