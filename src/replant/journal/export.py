"""Events as JSON, and as a trace for the Perfetto user interface (the Chrome trace event format)."""

from __future__ import annotations

import json

from replant.journal.events import Batch, Event
from replant.journal.known import BEGUN_KIND, BROKEN_KIND, ENDED_KIND
from replant.journal.layout import CALL
from replant.journal.render import LEVELS, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from replant.journal.reader import Reader
    from replant.journal.render import Renderer

Json = dict[str, object]


def as_json(reader: Reader, events: Iterable[Event], renderer: Renderer) -> Iterator[str]:
    """One JSON document, in pieces: ``{"journal", "events": […], "losses": […]}``."""
    yield f'{{"journal": {json.dumps(reader.path)}, "events": ['
    comma = ""
    for event in events:
        yield comma + json.dumps(plain(event, renderer))
        comma = ",\n"
    yield f'], "losses": {json.dumps(reader.losses())}}}\n'


def plain(event: Event, renderer: Renderer) -> Json:
    """An event in terms of JSON; ``time`` is ns since the epoch, bytes that are no UTF-8 have escapes."""
    found: Json = {
        "time": renderer.epoch(event.time),
        "pid": event.lane.pid,
        "tid": event.lane.tid,
        "lane": event.lane.name,
        "kind": event.site.kind,
        "level": LEVELS.get(event.site.level, event.site.level),
        "text": renderer.text(event),
    }
    if isinstance(event, Batch):
        calls = [_call(event, index, renderer) for index in range(len(event.records) // CALL.size)]
        found |= {"task": event.tid, "process": event.pid, "ns": event.ns, "reason": text(event.reason), "calls": calls}
    else:
        args = [text(arg) if isinstance(arg, bytes) else arg for arg in event.args]
        found |= {"args": args, "place": event.site.place}
    return found


def _call(batch: Batch, index: int, renderer: Renderer) -> Json:
    nr, flags, *args, ret = CALL.unpack_from(batch.records, index * CALL.size)
    return {
        "index": batch.base + index,
        "name": renderer.names.call_name(nr),
        "flags": flags,
        "args": args,
        "ret": ret,
        "text": renderer.call(batch, index),
    }


def as_trace(reader: Reader, events: Iterable[Event], renderer: Renderer) -> Iterator[str]:
    """A trace with a track a lane and a track a task: phases and batches are bars, everything else are marks."""
    yield '{"displayTimeUnit": "ns", "traceEvents": [\n'
    comma = ""
    for entry in _entries(reader, events, renderer):
        yield comma + json.dumps(entry)
        comma = ",\n"
    yield "\n]}\n"


def _entries(reader: Reader, events: Iterable[Event], renderer: Renderer) -> Iterator[Json]:
    for lane in reader.writers():
        yield _named("process_name", lane.pid, lane.tid, f"replant {lane.pid}")
        yield _named("thread_name", lane.pid, lane.tid, lane.name)
    tasks: set[int] = set()
    for event in events:
        if isinstance(event, Batch) and event.tid not in tasks:
            tasks.add(event.tid)
            yield _named("process_name", event.pid, event.tid, f"process {event.pid}")
            yield _named("thread_name", event.pid, event.tid, f"task {event.tid}")
        yield _entry(event, reader.header.monotonic, renderer)


def _named(what: str, pid: int, tid: int, name: str) -> Json:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}


def _entry(event: Event, start: int, renderer: Renderer) -> Json:
    """Times are microseconds since the journal was created."""
    now: Json = {
        "ts": (event.time - start) / 1000,
        "pid": event.lane.pid,
        "tid": event.lane.tid,
        "cat": event.site.kind,
    }
    if isinstance(event, Batch):
        calls = [renderer.call(event, index) for index in range(len(event.records) // CALL.size)]
        bar: Json = {"ph": "X", "name": text(event.reason) or "batch", "dur": event.ns / 1000, "args": {"calls": calls}}
        return {**now, "pid": event.pid, "tid": event.tid, **bar, "ts": (event.time - event.ns - start) / 1000}
    name = text(event.args[0]) if event.args and isinstance(event.args[0], bytes) else ""
    if event.site.kind == BEGUN_KIND:
        return {**now, "ph": "B", "name": name}
    if event.site.kind in (ENDED_KIND, BROKEN_KIND):
        return {**now, "ph": "E", "name": name}
    return {**now, "ph": "i", "s": "t", "name": renderer.text(event), "args": {"place": event.site.place}}
