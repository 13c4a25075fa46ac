"""What an unexpected exception leaves behind: a file with the traceback and the name of the run's journal."""

from __future__ import annotations

import os
import sys


def record(error: BaseException) -> str:
    """Write the traceback of ``error`` to a new private file and return its path.

    The journal of the run, where one is kept, is named in it. Never raises: if no file can be written the traceback
    goes to standard error, and the words say so.
    """
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(error))
    if journal := journal_in_use():
        text += f"journal: {journal}\n"
    try:
        fd, path = tempfile.mkstemp(prefix=f"replant-{os.getpid()}-", suffix=".crash")
        with open(fd, "w") as file:
            file.write(f"replant {' '.join(sys.argv[1:])}\n{text}")
    except OSError:
        sys.stderr.write(text)
        return "the traceback above"
    return path


def journal_in_use() -> str:
    """The path of the journal of the run, ``""`` if it has none or the file is gone."""
    journal = sys.modules.get("replant.journal")
    if journal is None:
        return ""
    path: str = getattr(journal.current(), "path", "")
    return path if path and os.path.exists(path) else ""
