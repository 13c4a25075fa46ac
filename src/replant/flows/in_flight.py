"""Descriptions that came to us in a message (SCM_RIGHTS): those of the tree, and those that no process holds."""

from __future__ import annotations

import os

from replant.errors import Blocker
from replant.observe import procfs
from replant.observe.procfs import Fd
from replant.tracee.kcmp import compare_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.flows.files import Files, OpenFile
    from replant.resources.protocol import FileFacts


def number(files: Files, fd: int, via: FileFacts) -> int:
    """The number of the description of our descriptor ``fd``, which came through ``via``; a new one if need be.

    :raises Blocker: a lock is held on it, which is taken again by who holds it, and nobody does.
    """
    st, me = os.fstat(fd), os.getpid()
    for f in files.found:
        if f.fd >= 0 and (f.dev, f.ino) == (st.st_dev, st.st_ino) and not compare_files(f.pid, f.fd, me, fd):
            return f.number
    link = os.readlink(f"/proc/self/fd/{fd}")
    seen = Fd(fd, link, st.st_mode, st.st_dev, st.st_ino, st.st_rdev, st.st_size, st.st_nlink)
    file = files.describe(me, seen, procfs.fdinfo(me, fd))
    file.where, file.carrier = f"in flight through {via.where}", getattr(via, "carrier", 0) or via.pid
    if any(line.startswith("lock:") for line in file.lines):
        raise unheld(file)
    return file.number


def unheld(f: OpenFile) -> Blocker:
    """Why a description that no process holds cannot be kept: it would take a holder."""
    return Blocker(
        f"{f.where} is {f.link!r}, and no process has it open",
        code="in-flight",
        pid=f.carrier or f.pid,
        resource=f.where,
        hint="let the receiver take it",
    )


def placed(files: Files, b: Blocker) -> Blocker:
    """A blocker that names an object by its link, with the process that has it, and the descriptor it has it by."""
    link = b.resource or ""
    holder = next((f for f in files.found if f.link == link), None)
    if holder is not None and b.pid is None:
        b.pid = holder.carrier or holder.pid
        b.resource = holder.where if link in str(b) else f"{holder.where}, {link}"
    return b
