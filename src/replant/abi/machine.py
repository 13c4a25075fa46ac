"""The architecture whose system calls, registers and instructions this package knows: x86-64, by a 64-bit Python.

Elsewhere images can be read, and nothing of a process: a number of a system call would mean another one there.
"""

from __future__ import annotations

import os
import sys

from replant.errors import ReplantError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

NAME = "x86_64"
HINT = "run replant on an x86-64 machine, by a 64-bit Python, and not under setarch(8)"


def fits() -> bool:
    """Whether we run on it."""
    return os.uname().machine == NAME and sys.maxsize > 1 << 32


def require() -> None:
    """Before anything is touched. :raises ReplantError: we run on another one."""
    if not fits():
        refuse()


def refuse(*_: object) -> NoReturn:
    """In the place of every system call by number where we do not run on it. :raises ReplantError: always."""
    raise ReplantError(
        f"processes cannot be dumped, restored or looked at on {os.uname().machine}: replant knows {NAME}",
        code="architecture",
        resource=os.uname().machine,
        hint=HINT,
    )
