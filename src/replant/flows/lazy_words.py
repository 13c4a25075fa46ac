"""What went wrong while pages were being loaded: the tree runs, so it is told where somebody will look.

In a journal of its own (``replant log``), to syslog, and on standard error where the restore stays in the foreground.
"""

from __future__ import annotations

import os

from replant.errors import Bug, ImageError, ReplantError
from replant.flows.recording import Recording

_SYSLOG, _ERROR_OF_DAEMON = "/dev/log", b"<27>"


def tell(error: Exception, pid: int, image: str, words: bool) -> None:
    """Say what happened to the pages of process ``pid`` (0: of all), and why."""
    whose = f"process {pid}" if pid else "the restored processes"
    what = "the damaged pages" if isinstance(error, ImageError) else "pages that are not loaded yet"
    text = f"{image}: {error}; {whose}: whoever touches {what} gets SIGBUS"
    kind = type(error) if isinstance(error, ImageError) else ReplantError if isinstance(error, OSError) else Bug
    journal = _recorded(
        kind(text, code=getattr(error, "code", "lazy-server"), pid=pid or None, resource=image,
             hint="restore from another copy of the image"),
        error,
    )  # fmt: skip
    line = f"replant: {text}{journal}"
    if words:
        os.write(2, f"{line}\n".encode(errors="replace"))
    _to_syslog(line)


def _recorded(error: ReplantError, cause: Exception) -> str:
    try:
        with Recording("lazy") as trace:
            raise error from cause
    except ReplantError:
        return f" (journal: {trace.journal.path})" if trace.journal.path else ""


def _to_syslog(line: str) -> None:
    from socket import AF_UNIX, SOCK_DGRAM, socket

    try:
        with socket(AF_UNIX, SOCK_DGRAM) as s:
            s.sendto(_ERROR_OF_DAEMON + line.encode(errors="replace"), _SYSLOG)
    except OSError:
        pass  # nobody keeps a log here
