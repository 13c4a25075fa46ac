"""The code of the vDSO, vdso(7), that the tree has seen: one for all processes, that of the kernel at the dump.

Where the kernel at restore has another one, that is mapped elsewhere, and the old code stands where it was, each of its
functions a jump to the new one of the same name: programs keep their addresses. Refused at restore: a thread that was
just inside the old code, which needs the old data; a function that the new kernel does not have.
"""

from __future__ import annotations

from replant.abi import vdso
from replant.model.frozen import Frozen
from replant.resources.shared import vdso as shared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, RestoreSide

VERSION = 1
SEEKABLE = False
DESCRIPTOR = False


class State(Frozen):
    """Its bytes, in whole pages."""

    code: bytes


def standing(dump: DumpSide, known: Sequence[File]) -> Iterable[State]:
    """Ours: the kernel has one for all 64-bit processes."""
    code = vdso.code()
    return [State(code)] if code else []


def group(file: File) -> object:
    """There is one."""
    return ""


def check(file: File) -> None:
    """:raises Blocker: another one is here, which lacks a function. :raises ImageError: it is no vDSO."""
    assert isinstance(file.state, State)
    if not shared.alike(file.state.code, here := vdso.code()):
        shared.led(file.state.code, here, 0)


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Nothing: the kernel gives each process its own."""
    return [-1] * len(files)


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Two of one build are the same."""
    if not shared.alike(before.code, after.code):
        yield "that of another kernel"
