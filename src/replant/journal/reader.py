"""Reading a journal: its lanes and sites, its events in the order of time, and what was lost of them."""

from __future__ import annotations

import os
from binascii import crc32
from heapq import merge
from operator import attrgetter

from replant.journal.blocks import Block, FileHeader, completed, content, headers, snapshot
from replant.journal.events import BATCHED, Batch, Damaged, Event, Lane, Site, parsed, record
from replant.journal.layout import (
    ARGS_AT,
    BATCH,
    BLOCK,
    DEFINE,
    DEFINITIONS,
    EVENTS,
    SEAL,
    SEAL_ARGS,
    SLOT,
    VOID,
    site_number,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import Self

INTERNAL = (VOID, DEFINE, SEAL)
_by_time = attrgetter("time")


class Reader:
    """A journal open for reading; its writers may still be at it.

    :raises OSError: the file cannot be opened
    :raises Damaged: it is no journal, or a damaged one
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.sites: dict[int, Site] = {}
        self.lanes: dict[int, Lane] = {}
        self.blocks: dict[int, list[Block]] = {}
        self.gaps = 0
        try:
            self.header = FileHeader(os.pread(self.fd, SLOT, 0), path)
            self.refresh()
            self.refresh_closed()
        except BaseException:
            os.close(self.fd)
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def refresh(self) -> None:
        """Learn what blocks, lanes and sites there are by now."""
        if self.size < BLOCK:
            raise Damaged(f"{self.path}: the journal is cut off in its first block")
        self.blocks = {}
        for block in headers(self.fd, self.header):
            self._place(block)
            if block.kind == DEFINITIONS:
                self._define_from(block)
        for blocks in self.blocks.values():
            blocks.sort(key=attrgetter("ordinal"))

    def refresh_closed(self) -> list[Lane]:
        """Learn which writers have ended properly; the lanes of events.

        :raises Damaged: one did, and what it wrote is not all there
        """
        for number, blocks in self.blocks.items():
            lane = self.lanes[number]
            lane.closed = lane.closed or self._sealed(blocks)
        return self.writers()

    def writers(self) -> list[Lane]:
        """The lanes of events."""
        return [self.lanes[number] for number, blocks in self.blocks.items() if blocks[0].kind == EVENTS]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self.fd).st_size

    def _place(self, block: Block) -> None:
        lane = self.lanes.setdefault(block.lane, Lane(block.lane, block.name, block.pid, block.tid))
        if (lane.pid, lane.name) != (block.pid, block.name):
            raise Damaged(f"block {block.number} is not of the lane it names")
        self.blocks.setdefault(block.lane, []).append(block)

    def _define_from(self, block: Block) -> None:
        data, heads, _ = snapshot(self.fd, block)
        for slot in heads:
            number, _, _, _, payload = record(data, slot)
            if number == DEFINE:
                for definition, site in parsed(payload):
                    site.number = site_number(definition)
                    self.sites.setdefault(site.number, site)

    def _sealed(self, blocks: list[Block]) -> bool:
        """Whether the lane's writer ended properly; what it wrote must then be there, every byte.

        :raises Damaged: it is not
        """
        data = content(self.fd, blocks[-1])
        heads = completed(data, blocks[-1].key)[0]
        if not heads or record(data, heads[-1])[0] != SEAL:
            return False
        count, end, expected = SEAL_ARGS.unpack_from(record(data, heads[-1])[3])
        value = 0
        for block in blocks[:-1]:
            value = crc32(content(self.fd, block), value)
        if count != len(blocks) or end != heads[-1] * SLOT or crc32(memoryview(data)[:end], value) != expected:
            whose = self.lanes[blocks[0].lane]
            raise Damaged(f"what lane {whose.name} of pid {whose.pid} wrote is not whole: its checksum differs")
        return True

    def events(
        self,
        wanted: Callable[[Site], bool] = lambda site: True,
        *,
        since: int = 0,
        until: int = 1 << 64,
    ) -> Iterator[Event]:
        """Events in the order of time.

        :param wanted: which sites' events; others are not even decoded
        :param since: first time of interest, CLOCK_MONOTONIC ns
        :param until: and the first that is not
        :raises Damaged: after the last event that can be told, where the journal goes on but cannot be read
        """
        numbers = self.numbers(wanted)
        self.gaps = 0
        lanes = [
            self._lane(blocks, numbers, since, until) for blocks in self.blocks.values() if blocks[0].kind == EVENTS
        ]
        yield from lanes[0] if len(lanes) == 1 else merge(*lanes, key=_by_time)
        # A writer that is killed while it appends a block, or has no room for it, leaves a part of one, of zeros.
        if os.pread(self.fd, BLOCK, self.size // BLOCK * BLOCK).strip(b"\0"):
            raise Damaged(f"{self.path}: the journal is cut off in the middle of a block")

    def numbers(self, wanted: Callable[[Site], bool]) -> set[int]:
        """The numbers of the sites that are wanted."""
        return {n for n, site in self.sites.items() if wanted(site)} | ({BATCH} if wanted(BATCHED) else set())

    def _lane(self, blocks: list[Block], numbers: Collection[int], since: int, until: int) -> Iterator[Event]:
        for index, block in enumerate(blocks):
            if block.taken >= until or (index + 1 < len(blocks) and blocks[index + 1].taken < since):
                continue
            data, heads, gaps = snapshot(self.fd, block)
            self.gaps += gaps
            yield from self.chosen(block, data, heads, numbers, since, until)

    def chosen(
        self,
        block: Block,
        data: bytes,
        heads: list[int],
        numbers: Collection[int],
        since: int = 0,
        until: int = 1 << 64,
    ) -> list[Event]:
        """The events of a block's completed records that are of such sites and such a time, sorted by time."""
        sites = memoryview(data).cast("I")[::16].tolist()
        used = {sites[slot] for slot in heads} - {BATCH, *INTERNAL}
        if not used <= self.sites.keys():
            self.refresh()  # a site may be defined, and used, while the journal is read
        if not used <= self.sites.keys():
            raise Damaged(f"block {block.number} holds an event of no site that is defined")
        found = list(self._events(self.lanes[block.lane], data, [slot for slot in heads if sites[slot] in numbers]))
        found.sort(key=_by_time)
        return [event for event in found if since <= event.time < until]

    def _events(self, lane: Lane, data: bytes, slots: list[int]) -> Iterator[Event]:
        """The events in ``slots``; those of integers only, which are most, the short way."""
        plain = {number: (site, site.unpack) for number, site in self.sites.items() if site.textless}
        sites = memoryview(data).cast("I")[::16].tolist()
        times = memoryview(data).cast("Q")[1::8].tolist()
        for slot in slots:
            if known := plain.get(sites[slot]):
                yield Event(times[slot], lane, known[0], known[1](data, slot * SLOT + ARGS_AT))
                continue
            number, time, size, args, payload = record(data, slot)
            if number == BATCH:
                yield Batch(time, lane, args, size, payload)
            else:
                site = self.sites[number]
                yield Event(time, lane, site, site.arguments(args, size, payload))

    def losses(self) -> list[str]:
        """What a reader has to know besides the events that `events` gave: lanes not ended, blocks written over."""
        said = self._unended()
        for lane in self.writers():
            blocks = self.blocks[lane.number]
            if over := blocks[-1].ordinal + 1 - len(blocks):
                whose = f"lane {lane.name} of pid {lane.pid}"
                said.append(f"{whose}: {over} blocks were written over by newer ones, or are missing")
        if self.gaps:
            said.append(f"{self.gaps} slots hold events that were not completed")
        return said

    def _unended(self) -> list[str]:
        writers = self.writers()
        cut = {lane.pid for lane in self.lanes.values() if lane.closed} - {lane.pid for lane in writers}
        said = [f"the events of pid {pid} are missing: the file was cut" for pid in sorted(cut)]
        for lane in writers:
            if not lane.closed:
                whose = f"lane {lane.name} of pid {lane.pid}"
                said.append(f"{whose} was not closed: the process runs, was killed, or the file was cut")
        return said
