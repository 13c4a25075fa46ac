"""A process that runs system calls for its parent: a stand-in for a tracee, with memory of its own to be copied."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from replant.abi import mman, x86_64
from replant.abi.call import Answer, Call
from replant.model.tree import Vma

PAGE = 4096
_CHILD = __file__.replace("target.py", "target_child.py")
RW = mman.PROT_READ | mman.PROT_WRITE


class Target:
    """A child; ``fds`` are passed on to it under their own numbers."""

    def __init__(self, *fds: int) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-I", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=fds,
        )
        self.pid = self._child.pid

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()

    def _tell(self, what: str, argument: Any) -> Any:
        assert self._child.stdin and self._child.stdout
        pickle.dump((what, argument), self._child.stdin)
        self._child.stdin.flush()
        return pickle.load(self._child.stdout)

    def ask(self, calls: Sequence[Call]) -> list[Answer]:
        """Run calls in the child, all of them, whatever they answer."""
        return [Answer(ret) for ret in self._tell("calls", [(c.nr, c.args) for c in calls])]

    def map(self, pages: int, prot: int = RW, fd: int = -1, shared: bool = False, at: int = 0) -> Vma:
        """A new mapping, as the row of a model."""
        how = mman.MAP_SHARED if shared else mman.MAP_PRIVATE
        how |= mman.MAP_ANONYMOUS if fd < 0 else 0
        start = self.ask([Call(x86_64.mmap, at, pages * PAGE, prot, how, fd, 0)])[0].ret
        assert start > 0, start
        return Vma(start, start + pages * PAGE, prot, shared, "", 0, "anon" if fd < 0 else "file", -1 if fd < 0 else 0)

    def write(self, address: int, data: bytes) -> None:
        """Put bytes into the child's memory, written by itself."""
        self._tell("write", (address, data))

    def fill(self, address: int, length: int, seed: int) -> None:
        """Fill memory with bytes that depend on ``seed``, quickly."""
        self._tell("fill", (address, length, seed))

    def read(self, address: int, length: int) -> bytes:
        """The child's memory as the child sees it."""
        data: bytes = self._tell("read", (address, length))
        return data
