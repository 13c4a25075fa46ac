"""io_uring(7): an idle instance, with its queues as the program sees them. Whatever is in flight is refused.

An instance is idle if as many completions have been posted as requests taken, and nothing waits in a poll, a timeout
or an overflow. Its counters, of which programs and libraries keep copies, only ever go up by requests: as many that do
nothing are made as there were (IORING_OP_NOP), and then the contents are put back. The flags of io_uring_setup(2)
are told by no interface; they are read from the kernel by BPF. Refused are a thread of the kernel that polls
(SQPOLL), polling for devices (IOPOLL), an instance of a single task (SINGLE_ISSUER), registered files, buffers or
eventfds, and one that has served more requests than can be made again in a moment.
"""

from __future__ import annotations

import mmap
import os

from replant.abi import io_uring as abi
from replant.abi import mman, x86_64
from replant.abi.call import Out
from replant.model.frozen import Frozen
from replant.model.tree import Extent
from replant.resources.shared import compare, kernel
from replant.resources.shared.refusal import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replant.abi.call import Slot, Track
    from replant.model.tree import File
    from replant.resources.protocol import DumpSide, FileFacts, RestoreSide

VERSION = 1
SEEKABLE = False
_KEPT = (
    abi.SETUP_CQSIZE | abi.SETUP_CLAMP | abi.SETUP_SUBMIT_ALL | abi.SETUP_COOP_TASKRUN | abi.SETUP_TASKRUN_FLAG
    | abi.SETUP_SQE128 | abi.SETUP_CQE32 | abi.SETUP_NO_SQARRAY
)  # fmt: skip
_CLOSE = "close it before the dump, or have the program not use io_uring"
_MOST_REQUESTS, _MOST_BATCHES = 1 << 24, 1 << 16


class State(Frozen):
    """``taken`` counts the requests ever taken; ``ring`` and ``requests`` are the contents of the two mappings."""

    entries: int
    completions: int
    flags: int
    taken: int
    ring: Extent
    requests: Extent


def claims(f: FileFacts) -> bool:
    """The kernel names it ``[io_uring]``; a mapping whose descriptor is closed everywhere cannot be asked."""
    return f.link == "anon_inode:[io_uring]" and f.fd >= 0


def read(f: FileFacts, dump: DumpSide) -> State:
    """fdinfo for the counters, BPF for the flags, the mappings for the contents.

    :raises Blocker: it is not idle, or of a sort that cannot be made again.
    """
    _registered_nothing(f)
    flags = _flags(f)
    entries, completions = int(f.info["SqMask"], 16) + 1, int(f.info["CqMask"], 16) + 1
    taken, posted = int(f.info["CachedSqHead"]), int(f.info["CachedCqTail"])
    if taken != posted:
        raise _busy(f, "has requests that are not complete")
    if taken > _MOST_REQUESTS or taken // entries > _MOST_BATCHES:
        raise refuse(f, f"it has served {taken} requests, too many to count up again", _CLOSE, "io-uring-counters")
    ring = _contents(f, abi.ring_size(entries, completions, flags), abi.OFF_SQ_RING)
    if any(ring[abi.SQ_FLAGS : abi.SQ_FLAGS + 4]):
        raise _busy(f, "has work to do for its task")
    requests = _contents(f, abi.sqes_size(entries, flags), abi.OFF_SQES)
    return State(entries, completions, flags, taken, dump.keep(ring), dump.keep(requests))


def _registered_nothing(f: FileFacts) -> None:
    for word in ("UserFiles", "UserBufs"):
        if int(f.info[word]):
            raise refuse(f, f"it has registered {word[4:].lower()}", "unregister them", "io-uring-registered")
    if int(f.info["SqThread"]) >= 0:
        raise refuse(f, "a thread of the kernel polls it (IORING_SETUP_SQPOLL)", _CLOSE, "io-uring-flags")
    lists = f.lines[f.lines.index(next(line for line in f.lines if line.startswith("PollList"))) :]
    if any(line[:1].isspace() for line in lists):
        raise _busy(f, "waits in polls, or has completions that found no place")


def _busy(f: FileFacts, what: str) -> Exception:
    return refuse(f, f"it {what}", "dump when the program is idle", "io-uring-busy")


def _flags(f: FileFacts) -> int:
    """The flags of io_uring_setup(2), as the kernel has them."""
    own = f.grab()
    queues = kernel.queues([os.getpid()], "queues.Queues")
    if queues is None:
        raise refuse(f, "only BPF can tell its flags, and cannot be used", _CLOSE, "io-uring-flags")
    ring = next(ring for ring in queues.rings() if ring.fd == own)
    if ring.flags & ~_KEPT:
        raise refuse(f, f"it was made with flags {ring.flags & ~_KEPT:#x} of io_uring_setup", _CLOSE, "io-uring-flags")
    if ring.eventfd:
        raise refuse(f, "it has registered an eventfd", "unregister it", "io-uring-registered")
    if ring.timeouts:
        raise _busy(f, "waits for timeouts")
    return ring.flags


def _contents(f: FileFacts, size: int, offset: int) -> bytes:
    with mmap.mmap(f.grab(), size, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset) as view:
        return view[:]


def make(files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
    """Set up, count up, and put the contents back."""
    return [_make(file.state, on, restore) for file in files if isinstance(file.state, State)]


def _make(state: State, on: Track, restore: RestoreSide) -> Slot:
    params = abi.PARAMS.pack(0, state.completions, state.flags, 0, 0, 0)
    fd = on.call(x86_64.io_uring_setup, state.entries, Out(len(params), params), why="io_uring")
    prot = mman.PROT_READ | mman.PROT_WRITE
    for extent, offset in ((state.ring, abi.OFF_SQ_RING), (state.requests, abi.OFF_SQES)):
        at = on.call(x86_64.mmap, 0, extent.length, prot, mman.MAP_SHARED, fd, offset, why="queues of io_uring")
        if offset == abi.OFF_SQ_RING:
            _count_up(state, fd, at, on)
        on.call(x86_64.pread64, restore.pages, at, extent.length, extent.at, why="contents of io_uring")
        on.call(x86_64.munmap, at, extent.length)
    return fd


def _count_up(state: State, fd: Slot, ring: Slot, on: Track) -> None:
    """Have as many requests taken and completed as there were: a ring of zeros is one of IORING_OP_NOP.

    The counters of the ring before each batch come out of a file, since no other call writes a number to memory.
    """
    counts = list(range(0, state.taken, state.entries))
    before = [(done, min(done + state.entries, state.taken), done, done) for done in counts]
    values = b"".join([abi.COUNTERS.pack(*each) for each in before])
    if not values:
        return
    file = on.call(x86_64.memfd_create, b"counters\0", 0, why="counters of io_uring")
    on.call(x86_64.write, file, values, len(values))
    for at, (done, until, _, _) in enumerate(before):
        on.call(x86_64.pread64, file, ring, abi.COUNTERS.size, at * abi.COUNTERS.size, why="requests that do nothing")
        on.call(x86_64.io_uring_enter, fd, until - done, 0, 0, 0, 0, why="counted by io_uring")
    on.call(x86_64.close, file)


def same(before: State, after: State, elapsed: int) -> Iterable[str]:
    """Sizes and flags; counters and contents are the program's own once it runs."""
    yield from compare.fields(before, after, ("ring", "requests", *(["taken"] if elapsed else [])))
