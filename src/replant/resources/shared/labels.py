"""What a security module has written on tasks and sockets: AppArmor profile, SELinux context."""

from __future__ import annotations

import os

from replant.errors import Blocker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.resources.file_facts import FileFacts

PROC = "/proc"
_ON_SOCKETS = "security.selinux"  # AppArmor writes nothing on sockets that could be read
_own: list[str] = []


def own() -> str:
    """The label of this process; "" where no security module gives any."""
    if not _own:
        _own.append(text(f"{PROC}/self/attr/current"))
    return _own[0]


def text(path: str) -> str:
    """The label in a file of attr; "" where there is none, or no module that has one (EINVAL)."""
    try:
        with open(path, "rb") as file:
            return _words(file.read())
    except OSError:
        return ""


def check_socket(f: FileFacts) -> None:
    """A socket made anew gets the label of its maker. :raises Blocker: it has another one than its process has."""
    label = own() and _on_socket(f.grab())
    maker = text(f"{PROC}/{f.pid}/attr/current") if label else ""
    if label != maker:
        raise Blocker(
            f"{f.where} is a socket labelled {label}, in a process labelled {maker}",
            code="security-label",
            pid=f.pid,
            resource=f.where,
            hint="close it before the dump, or let the program make it itself instead of being given it",
        )


def _on_socket(fd: int) -> str:
    try:
        return _words(os.getxattr(fd, _ON_SOCKETS))
    except OSError:
        return ""


def _words(label: bytes) -> str:
    return label.rstrip(b"\0\n").decode(errors="replace")
