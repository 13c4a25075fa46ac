"""The working set of an image: which parts of its page store a lazy restore was asked for, in that order.

A file beside the image, which itself never changes. It is a hint: whatever is in it, the restore is right. As built::

    b"replant working set 1\\n" | identity of the image, 32 hexadecimal digits, newline | offsets: <Q each
"""

from __future__ import annotations

import os
from array import array

WINDOW = 64 << 10
_MAGIC = b"replant working set 1\n"
_LIMIT = 8 << 20


class Touched:
    """The working set in the file ``path``, of the image with that ``identity``."""

    def __init__(self, path: str, identity: str) -> None:
        self._path = os.path.abspath(path)
        self._head = _MAGIC + identity.encode("ascii") + b"\n"

    def load(self) -> list[int]:
        """Offsets in the page store, in the order in which they were asked for; none if the file is of no use."""
        try:
            with open(self._path, "rb") as file:
                data = file.read(_LIMIT)
        except OSError:
            return []
        if not data.startswith(self._head) or (len(data) - len(self._head)) % 8:
            return []
        return array("Q", data[len(self._head) :]).tolist()

    def save(self, offsets: list[int]) -> None:
        """Note offsets, each once. Where that cannot be written the next restore does without."""
        draft = f"{self._path}.{os.getpid()}"
        known = array("Q", dict.fromkeys(offsets))
        try:
            with open(draft, "xb") as file:
                file.write((self._head + known.tobytes())[:_LIMIT])
            os.replace(draft, self._path)
        except OSError:
            _forget(draft)


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # it was not made
