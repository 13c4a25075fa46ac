"""Runs a batch in the restorer itself, by the same code that stubs run: a call costs what the kernel takes for it.

The bytes of native.S, a function of C, stand before the interpreter of records (`replant.tracee.blob`) in a page.
"""

from __future__ import annotations

import ctypes
from struct import Struct

from replant.abi import libc, mman, x86_64
from replant.tracee import batch, blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from replant.abi.call import Answer, Call, Track
    from replant.execute.arena import Arena

ENTER = bytes.fromhex("535541544155415641574889fbeb0b415f415e415d415c5d5bc3")
BACK = 0x0F  # where the last record goes on

_RECORDS = Struct("<IIQQ40xIIQQ40x")
_HARMLESS = 23  # SIGURG, ignored by default


class Native:
    """Room for batches of our own, and the code that runs them."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        code = _executable(ENTER + blob.CODE)
        self._enter: Callable[[int], None] = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code)
        self._end = _end(code + BACK)

    def run(self, calls: Sequence[Call], track: Track, first: int) -> tuple[list[Answer], memoryview]:
        """Run ``calls``, which are those of ``track`` from number ``first`` on.

        Returns the answers of all that ran, of which only the last can be a failure, and their records.
        """
        at = self._arena.mark()
        base = self._arena.here + at
        length = batch.RECORD * len(calls)
        encoded = batch.encode(calls, base, base + length + len(self._end), track, first)
        self._arena.fill(at, encoded.records, self._end, encoded.data)
        self._enter(base)
        view, data = self._arena.view, at + length + len(self._end)
        answers = encoded.decode(view[at : at + length], view[data : data + len(encoded.data)])
        return answers, view[at : at + batch.RECORD * len(answers)]


def _end(back: int) -> bytes:
    """The records that go back: a JUMP if all went well, and the TRAP that is looked for after a failure."""
    return _RECORDS.pack(blob.JUMP, 0, back, 0, blob.TRAP, 0, _HARMLESS, back)


def _executable(code: bytes) -> int:
    """The address of a page with ``code``, never writable and executable at once."""
    how = mman.MAP_PRIVATE | mman.MAP_ANONYMOUS
    size = -(-len(code) // mman.PAGE) * mman.PAGE
    address = libc.syscall(x86_64.mmap, 0, size, mman.PROT_READ | mman.PROT_WRITE, how, -1, 0)
    ctypes.memmove(address, code, len(code))
    libc.syscall(x86_64.mprotect, address, size, mman.PROT_READ | mman.PROT_EXEC)
    return address
