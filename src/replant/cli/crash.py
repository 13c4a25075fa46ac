"""What an unexpected exception leaves behind: a file with the traceback and the name of the run's journal."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback


def record(error: BaseException) -> str:
    """Write the traceback of ``error`` to a new private file and return its path.

    The journal of the run, where one is kept, is named in it. Never raises: if no file can be written the traceback
    goes to standard error, and the words say so.
    """
    text = "".join(traceback.format_exception(error))
    if journal := _journal():
        text += f"journal: {journal}\n"
    try:
        fd, path = tempfile.mkstemp(prefix=f"replant-{os.getpid()}-", suffix=".crash")
        with open(fd, "w") as file:
            file.write(f"replant {' '.join(sys.argv[1:])}\n{text}")
    except OSError:
        sys.stderr.write(text)
        return "the traceback above"
    return path


def _journal() -> str:
    """The path of the journal in use, if one is and its file is still there."""
    journal = sys.modules.get("replant.journal")
    if journal is None:
        return ""
    path: str = getattr(journal.current(), "path", "")
    return path if path and os.path.exists(path) else ""
