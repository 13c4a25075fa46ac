"""Keys for the protection of memory that a process has allocated, pkeys(7).

Which key a mapping has is kept with the mapping, what a thread may do with each key (PKRU) with its registers. Which
keys are allocated no call tells; but pkey_mprotect(2) of an address where nothing is fails with ENOMEM for a key that
is, and with EINVAL for one that is not. The key that the kernel takes for memory that may only be executed is none of
them.
"""

from __future__ import annotations

from errno import EINVAL, ENOMEM, ENOSYS

from replant.abi import mman
from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.errors import ImageError
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "process"
USES = ("bare",)
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()

_KEYS = range(1, 16)
_NOWHERE = 0  # mmap_min_addr(7) keeps programs from it; if one is there it is only told what it has already
_NONE = (EINVAL, ENOMEM, ENOSYS)
ASKS = tuple(
    [Call(nr.pkey_mprotect, _NOWHERE, mman.PAGE, 0, key, why="is it allocated", ok=_NONE) for key in _KEYS]
)  # fmt: skip


class State(Frozen):
    """The numbers of the allocated keys."""

    keys: tuple[int, ...]


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: it has allocated none."""
    keys = tuple([key for key, answer in zip(_KEYS, answers, strict=True) if answer.ret == -ENOMEM])
    return State(keys) if keys else None


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Allocate, lowest first as the kernel does, and give back those between; rights come with the registers."""
    if not set(state.keys) <= set(_KEYS):
        raise ImageError(f"process {tid} has protection keys that there are not", code="image-corrupt", pid=tid)
    last = max(state.keys, default=0)
    for key in range(1, last + 1):
        on.call(nr.pkey_alloc, 0, 0, why=f"protection key {key}")
    for key in set(range(1, last + 1)) - set(state.keys):
        on.call(nr.pkey_free, key, why="not allocated")
