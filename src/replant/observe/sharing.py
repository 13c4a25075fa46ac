"""Who shares what, asked of kcmp(2): the fallback for the keys that only BPF can give, and their oracle.

kcmp orders what it compares, for as long as the tasks live, so n objects take a sort and not n squared calls.
"""

from __future__ import annotations

from _functools import cmp_to_key  # type: ignore[import-not-found]

from ..abi import kcmp, x86_64
from ..abi.libc import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = {
    "mm_key": kcmp.VM,
    "files_key": kcmp.FILES,
    "fs_key": kcmp.FS,
    "sighand_key": kcmp.SIGHAND,
    "io_key": kcmp.IO,
    "sysvsem_key": kcmp.SYSVSEM,
}


def task_keys(name: str, tids: Sequence[int]) -> list[int]:
    """For each thread a number, equal for those that share the object that the field ``name`` of Task stands for.

    Threads that have none (zombies) share that.

    :raises OSError: EPERM for a task that the caller may not ptrace, ESRCH when one has gone.
    """
    return _keys([(tid, 0) for tid in tids], KINDS[name])


def file_keys(descriptors: Sequence[tuple[int, int]]) -> list[int]:
    """For each (pid, descriptor) a number, equal for those with the same file description.

    :raises OSError: as :func:`task_keys`, EBADF for a descriptor that is closed.
    """
    return _keys(descriptors, kcmp.FILE)


def same(kind: int, tid: int, other: int) -> bool:
    """Whether two threads share the object that ``kind`` (KCMP_…) stands for; two that have none do.

    :raises OSError: as :func:`task_keys`.
    """
    return syscall(x86_64.kcmp, tid, other, kind, 0, 0) == 0


def _keys(objects: Sequence[tuple[int, int]], kind: int) -> list[int]:
    def compare(a: int, b: int) -> int:
        (pid, index), (other, other_index) = objects[a], objects[b]
        answer = syscall(x86_64.kcmp, pid, other, kind, index, other_index)
        return (0, -1, 1, 1)[answer]

    order = sorted(range(len(objects)), key=cmp_to_key(compare))
    keys = [0] * len(objects)
    for rank in range(1, len(order)):
        previous, at = order[rank - 1], order[rank]
        keys[at] = keys[previous] + (compare(previous, at) != 0)
    return keys
