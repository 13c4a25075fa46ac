"""aio_contexts: what is in flight, or cannot be told, is refused; test_maps_aio has a program with some."""

from __future__ import annotations

import os
import struct

import pytest
from task_child import Child, read

from replant.abi import mman
from replant.abi import x86_64 as nr
from replant.errors import Blocker
from replant.observe import procfs
from replant.resources.shared import kernel
from replant.resources.task import aio_contexts


def test_what_is_in_flight_is_refused() -> None:
    """A request to poll a pipe into which nobody writes."""
    reading, writing = os.pipe()
    with Child() as child:
        room = child.call(nr.mmap, 0, mman.PAGE, 3, mman.MAP_PRIVATE | mman.MAP_ANONYMOUS, -1, 0).ret
        assert child.call(nr.io_setup, 8, room).ret == 0
        assert len(read(aio_contexts, child, mappings=procfs.maps(child.pid)).rings) == 1
        with open(f"/proc/{child.pid}/mem", "r+b", buffering=0) as memory:
            memory.seek(room)
            (context,) = struct.unpack("=Q", memory.read(8))
            request = struct.pack("=QIIHhIQQqQII", 1, 0, 0, 5, 0, reading, 1, 0, 0, 0, 0, 0)  # IOCB_CMD_POLL: POLLIN
            memory.seek(room + 8)
            memory.write(struct.pack("=Q", room + 16) + request)
        assert child.call(nr.io_submit, context, 1, room + 8).ret == 1
        with pytest.raises(Blocker, match="1 requests"):
            read(aio_contexts, child, mappings=procfs.maps(child.pid))
    os.close(reading)
    os.close(writing)


def test_what_cannot_be_told_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "queues", lambda pids, name: None)
    with Child() as child:
        room = child.call(nr.mmap, 0, mman.PAGE, 3, mman.MAP_PRIVATE | mman.MAP_ANONYMOUS, -1, 0).ret
        assert child.call(nr.io_setup, 8, room).ret == 0
        with pytest.raises(Blocker, match="BPF"):
            read(aio_contexts, child, mappings=procfs.maps(child.pid))
