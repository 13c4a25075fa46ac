"""A lane: one writer's sequence of blocks, packed into shared memory.

An event costs no system call. The pages it is stored in belong to the file from that moment on, so whatever
becomes of the process (``kill -9`` at any instruction), what was completed is there for a reader.
A disk that is full turns the lane into a ring of the blocks that it has.
"""

from __future__ import annotations

import os
from _thread import RLock, get_native_id
from binascii import crc32
from time import monotonic_ns as now

from replant.journal import sites
from replant.journal.known import BEGUN, BROKEN, ENDED, failure
from replant.journal.layout import (
    BATCH,
    BATCH_ARGS,
    BLOCK,
    BLOCK_HEADER,
    BLOCK_MAGIC,
    CALL,
    CHECK,
    ERROR_OK,
    EVENTS,
    HEAD,
    PAYLOAD_MAX,
    SEAL,
    SEAL_ARGS,
    SLOT,
    VOID,
    check,
)
from replant.journal.space import append_blocks, new_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.journal.sites import Emit
    from replant.journal.space import Block

KEPT = 4
"""Blocks a growing lane keeps mapped: the ring it falls back to when the disk is full."""
BATCH_MAX = PAYLOAD_MAX - SLOT
"""Bytes of a batch that one record keeps, with room for the reason."""
AHEAD = 16
"""Blocks that a lane which writes much takes at once: large writes, folios and mappings cost a third of small ones."""
_WORD = (1 << 64) - 1
_NOTHING = memoryview(bytearray())


class Lane:
    """One writer's sequence of blocks. ``pos``, ``buf`` and ``key`` are what emitting needs, and nothing else."""

    __slots__ = (
        "_ahead",
        "_blocks",
        "_fd",
        "_first",
        "_kind",
        "_limit",
        "_lock",
        "_name",
        "_numbers",
        "_ordinal",
        "buf",
        "key",
        "pos",
        "private",
    )

    def __init__(self, fd: int, name: str, kind: int = EVENTS, ring: int = 0, private: bool = False) -> None:
        self._fd = fd
        self._name = name.encode()[:16]
        self._kind = kind
        self._limit = ring
        self.private = private
        self.buf = _NOTHING  # a lane takes its first block with its first event
        self.key = b""
        self.pos: int | None = None if fd < 0 else BLOCK
        self.orphan()

    def orphan(self) -> None:
        """Leave the blocks to whoever has them too: a forked child starts a lane of its own."""
        self._blocks: list[Block] = []
        self._ahead: list[Block] = []
        self._numbers: dict[int, None] = {}
        self._first = 0
        self._ordinal = 0
        self._lock = RLock()
        if self.pos is not None:
            self.pos = BLOCK

    def batch(
        self,
        pid: int,
        tid: int,
        records: bytes | bytearray | memoryview,
        *,
        base: int = 0,
        ns: int = 0,
        reason: str = "",
    ) -> None:
        """Keep a batch of system call records that task ``tid`` has run, exactly as it left them.

        :param records: 64 bytes a record: ``{u32 nr, u32 flags, u64 arg[6], s64 ret}``
        :param base: index of the first record's operation in the program it belongs to
        :param ns: how long the batch took
        :raises ValueError: a part of a record
        """
        if self.pos is None:
            return
        view = memoryview(records).cast("B")
        if len(view) % SLOT:
            raise ValueError(f"{len(view)} bytes are no records of {SLOT}")
        why = reason.encode()[:SLOT]
        for start in range(0, len(view), BATCH_MAX):
            part = view[start : start + BATCH_MAX]
            args = BATCH_ARGS.pack(pid, tid, base + start // SLOT, len(part) // SLOT, ns)
            self.put(BATCH, len(part) + len(why), args, part, why)

    def call(
        self,
        pid: int,
        tid: int,
        nr: int,
        args: Sequence[int],
        result: int,
        *,
        ns: int,
        reason: str = "",
        allowed: bool = False,
    ) -> None:
        """Keep one system call that task ``tid`` has run, as a batch of its own.

        :param args: at most six
        :param ns: how long it took
        :param allowed: an error is no failure
        """
        if self.pos is not None:
            six = [*[arg & _WORD for arg in args], 0, 0, 0, 0, 0, 0][:6]
            why = reason.encode()[:SLOT]
            record = CALL.pack(nr, ERROR_OK * allowed, *six, result)
            self.put(BATCH, SLOT + len(why), BATCH_ARGS.pack(pid, tid, 0, 1, ns), record, why)

    def phase(self, name: str) -> Phase:
        """``with journal.phase("pages"):`` records when it begins, ends, or breaks off with an exception."""
        return Phase(self, name)

    def failure(self, error: BaseException) -> None:
        """Record an error, its causes and, for a refusal, its blockers: what ``replant log --why`` starts from."""
        if self.pos is not None:
            failure(self, error)

    def put(self, site: int, size: int, args: bytes, payload: bytes | memoryview = b"", tail: bytes = b"") -> None:
        """Write a record of any shape: at most 40 bytes of arguments, and in slots of its own payload and tail."""
        length = len(payload)
        more = (length + len(tail) + SLOT - 1) // SLOT
        while True:
            pos, buf, key = self.pos, self.buf, self.key
            if pos is None:
                return
            start, end = pos + SLOT, pos + SLOT + more * SLOT
            if end <= BLOCK:
                self.pos = end
                break
            self._advance(buf)
        if more:
            buf[start : start + length] = payload
            buf[start + length : start + length + len(tail)] = tail
        HEAD.pack_into(buf, pos, site, size, more, now(), args, key)

    def retry(self, emit: Emit, buf: memoryview, pos: int, key: bytes, *args: object) -> None:
        """An event did not fit at ``pos``: the block was full, or an integer wider than 64 bits."""
        if pos + SLOT > BLOCK or not buf:
            self._advance(buf)
            emit(self, *args)
        else:
            HEAD.pack_into(buf, pos, VOID, 0, 0, now(), b"", key)
            emit(self, *sites.wrapped(args))

    def _advance(self, full: memoryview) -> None:
        """Go on in another block, unless another thread has just done so; with no block at all, keep nothing.

        The lock is for threads; a signal handler that comes here in the middle takes a block of its own in between.
        """
        with self._lock:
            if self.buf is not full:
                return
            try:
                block, number = self._take()
            except OSError:
                self.pos = None
                return
            key = new_key()
            self._numbers.pop(number, None)
            ordinal = self._ordinal  # from here to the next call nothing comes in between: one order for both
            self._ordinal = ordinal + 1
            self._first = self._first if self._numbers else number
            self._numbers[number] = None
            whose = (self._kind, key, now(), self._name)
            header = BLOCK_HEADER.pack(BLOCK_MAGIC, self._first, ordinal, os.getpid(), get_native_id(), *whose)
            # The check goes first and comes last: a crash in between leaves a block that is void, as its events are.
            block[SLOT - 8 : SLOT] = bytes(8)
            block[: SLOT - 8] = header
            block[SLOT - 8 : SLOT] = CHECK.pack(check(header))
            self.buf, self.key, self.pos = block, key.to_bytes(8, "little"), SLOT
            self._reserve()

    def seal(self) -> None:
        """Record the checksum of all that the lane holds, and nothing more after it."""
        if self.pos == BLOCK and self._numbers:
            self._advance(self.buf)  # now: a ring's oldest block goes before the checksum is made
        end = self.pos
        if end is not None and self._numbers:
            value = 0
            *full, last = self._numbers
            for number in full:
                value = crc32(os.pread(self._fd, BLOCK, number * BLOCK), value)
            value = crc32(os.pread(self._fd, end, last * BLOCK), value)
            self.put(SEAL, 0, SEAL_ARGS.pack(len(self._numbers), end, value))
        self.pos = None
        self.buf, self._blocks, self._ahead = _NOTHING, [], []  # each mapping holds a descriptor of the file

    def adopt(self, block: Block, key: int) -> None:
        """Begin with a block whose header stands already."""
        self._blocks.append(block)
        self._numbers[block[1]] = None
        self._first = block[1]
        self._ordinal = 1
        self.buf, self.key, self.pos = block[0], key.to_bytes(8, "little"), SLOT

    def _take(self) -> Block:
        """A block to write: a new one, or this lane's oldest where it is a ring or the disk is full.

        :raises OSError: there is none of either
        """
        blocks, ahead = self._blocks, self._ahead
        if ahead:
            block = ahead.pop(0)
        elif self._round():
            block = blocks.pop(0)
        else:
            try:
                block, *more = self._append()
                ahead += more
            except OSError:
                if not blocks:
                    raise
                block = blocks.pop(0)
        blocks.append(block)
        if not self._limit and len(blocks) > KEPT:
            del blocks[0]
        return block

    def _round(self) -> bool:
        """Whether the lane is a ring that has all its blocks."""
        return 0 < self._limit <= len(self._blocks)

    def _append(self) -> list[Block]:
        """New blocks: one for a lane that begins, a quarter of what it has for one that writes much.

        :raises OSError: there is no room for any
        """
        room = self._limit - len(self._blocks) if self._limit else AHEAD
        return append_blocks(self._fd, min(room, AHEAD, 1 + self._ordinal // 4))

    def _reserve(self) -> None:
        """Have a block ready, from the second on, while there is room in another.

        Appending may take longer than it is to the next signal; a handler that writes meanwhile finds the room.
        """
        if self._ordinal > 1 and not self._ahead and not self._round():
            try:
                self._ahead += self._append()
            except OSError:
                pass  # the disk is full: when this block is as well, the lane becomes a ring


class Phase:
    """A timed stretch of work."""

    __slots__ = ("_lane", "_name", "_start")

    def __init__(self, lane: Lane, name: str) -> None:
        self._lane = lane
        self._name = name

    def __enter__(self) -> None:
        BEGUN(self._lane, self._name)
        self._start = now()

    def __exit__(self, kind: type[BaseException] | None, exc: object, trace: object) -> None:
        if kind is None:
            ENDED(self._lane, self._name, now() - self._start)
        else:
            BROKEN(self._lane, self._name, now() - self._start, kind.__name__)
