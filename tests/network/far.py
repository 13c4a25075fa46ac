"""The far end of a connection, in another process: method calls on a socket, handed over as files of a directory.

No descriptor leads from one process to the other, so that only the connection itself crosses the border of the tree.
"""

from __future__ import annotations

import os
import pickle
import socket
import time
from pathlib import Path
from typing import Any


class Remote:
    """Looks like the far end's socket; ``Far`` makes the calls."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._count = 0

    def __getattr__(self, method: str) -> Any:
        return lambda *arguments: self._call(method, arguments)

    def _call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        self._count += 1
        name = f"{self._folder}/{self._count}"
        with open(f"{name}.part", "wb") as file:
            pickle.dump((method, arguments), file)
        os.rename(f"{name}.part", f"{name}.call")
        while not os.path.exists(f"{name}.answer"):
            time.sleep(0.0005)
        with open(f"{name}.answer", "rb") as file:
            answer = pickle.load(file)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Far:
    """Makes the calls on a real socket, until `stop`; ``run`` is for a thread."""

    def __init__(self, folder: Path, sock: socket.socket) -> None:
        self._folder = folder
        self._sock = sock
        self._stopped = False

    def run(self) -> None:
        count = 1
        while not self._stopped:
            call = self._folder / f"{count}.call"
            if not call.exists():
                time.sleep(0.0005)
                continue
            method, arguments = pickle.loads(call.read_bytes())
            try:
                answer: Any = getattr(self._sock, method)(*arguments)
            except Exception as error:
                answer = error
            part = self._folder / f"{count}.written"
            part.write_bytes(pickle.dumps(answer))
            part.rename(self._folder / f"{count}.answer")
            count += 1

    def stop(self) -> None:
        self._stopped = True
