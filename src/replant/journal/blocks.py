"""Blocks of a journal as a reader sees them: whose they are, and which of their slots hold completed records."""

from __future__ import annotations

import os

from replant.journal.events import Damaged
from replant.journal.layout import (
    BLOCK,
    BLOCK_HEADER,
    BLOCK_MAGIC,
    CHECK,
    DEFINITIONS,
    EVENTS,
    FILE_HEADER,
    FILE_MAGIC,
    RING,
    SLOT,
    SLOTS,
    VERSION,
    check,
)


class FileHeader:
    """Who created a journal and when, on both clocks."""

    __slots__ = ("key", "monotonic", "pid", "realtime", "ring")

    def __init__(self, data: bytes, path: str) -> None:
        if len(data) < SLOT:
            raise Damaged(f"{path}: {len(data)} bytes are no journal")
        magic, version, block, self.pid, flags, self.monotonic, self.realtime, self.key = FILE_HEADER.unpack_from(data)
        if magic != FILE_MAGIC:
            raise Damaged(f"{path}: not a journal")
        if version != VERSION:
            raise Damaged(f"{path}: a journal of version {version}; this program reads version {VERSION}")
        if block != BLOCK or not _checked(data):
            raise Damaged(f"{path}: the header of the journal is damaged")
        self.ring = bool(flags & RING)


class Block:
    """A block's header."""

    __slots__ = ("key", "kind", "lane", "name", "number", "ordinal", "pid", "taken", "tid")

    def __init__(self, number: int, data: bytes) -> None:
        self.number = number
        fields = BLOCK_HEADER.unpack_from(data)
        magic, self.lane, self.ordinal, self.pid, self.tid, self.kind, self.key, self.taken, name = fields
        self.name = name.rstrip(b"\0").decode("utf-8", "replace")
        if magic != BLOCK_MAGIC or not _checked(data) or self.kind not in (EVENTS, DEFINITIONS):
            raise Damaged(f"the header of block {number} is damaged")

    @classmethod
    def first(cls, header: FileHeader) -> Block:
        """Block 0, whose header is the file's."""
        block = cls.__new__(cls)
        block.number = block.lane = block.ordinal = 0
        block.pid = block.tid = header.pid
        block.kind, block.key, block.taken, block.name = DEFINITIONS, header.key, header.monotonic, "sites"
        return block


def _checked(data: bytes) -> bool:
    return bool(CHECK.unpack_from(data, SLOT - 8)[0] == check(data[: SLOT - 8]))


def headers(fd: int, header: FileHeader) -> list[Block]:
    """The blocks that somebody took, in the order of the file.

    A header without its check is of a block that is not in use yet, or being taken again: it holds nothing.

    :raises Damaged: a header that no crash explains
    """
    found = [Block.first(header)]
    for number in range(1, os.fstat(fd).st_size // BLOCK):
        data = os.pread(fd, SLOT, number * BLOCK)
        if len(data) == SLOT and data[SLOT - 8 :] != bytes(8):
            found.append(Block(number, data))
    return found


def content(fd: int, block: Block) -> bytes:
    """The bytes of a block.

    :raises Damaged: the file got shorter
    """
    data = os.pread(fd, BLOCK, block.number * BLOCK)
    if len(data) < BLOCK:
        raise Damaged(f"the journal is cut off in block {block.number}")
    return data


def snapshot(fd: int, block: Block) -> tuple[bytes, list[int], int]:
    """A block's bytes, the slots of the records completed in it, and how many slots were left incomplete.

    The writer may be storing a record at this moment, and a copy takes what comes first in it before what comes
    last: records found complete in one copy are therefore taken from the next. A header that changed
    meanwhile says that the block is being written over: it holds nothing any more.
    """
    first = content(fd, block)
    heads, gaps = completed(first, block.key)
    data = content(fd, block)
    if os.pread(fd, SLOT, block.number * BLOCK) != first[:SLOT]:
        return data, [], 0
    torn = heads[-1] + 1 + _more(data)[heads[-1]] if heads else 1
    if torn < SLOTS and memoryview(data).cast("Q")[torn * 8 + 1] >= block.taken:
        gaps += 1
    return data, heads, gaps


def completed(data: bytes, key: int) -> tuple[list[int], int]:
    """Slots of the completed records, and how many slots between them hold none.

    A full column of keys is compared at once; only blocks with payloads or gaps are walked.

    :raises Damaged: a record reaches beyond its block
    """
    keys = memoryview(data).cast("Q")[7::8].tolist()
    more = _more(data)
    if keys.count(key) == SLOTS - 1 and not any(more[1:]):
        return list(range(1, SLOTS)), 0
    heads, covered, slot = [], 0, 1
    while slot < SLOTS:
        if keys[slot] == key:
            heads.append(slot)
            covered += 1 + more[slot]
            end = slot = slot + 1 + more[slot]
        else:
            slot += 1
    if slot > SLOTS:
        raise Damaged("a record reaches beyond its block")
    return heads, end - 1 - covered if heads else 0


def _more(data: bytes) -> list[int]:
    return memoryview(data).cast("H")[3::32].tolist()
