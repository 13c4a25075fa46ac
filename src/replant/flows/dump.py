"""The dump: prepare everything, freeze, observe, read every kind, copy pages, release, put the image in place.

Whatever fails, the tree runs on as it was found and nothing half-made is left: files are created before the freeze, the
manifest is written last, and the image is renamed into place when it is whole.
"""

from __future__ import annotations

import gc
import os
import time
from _functools import partial  # type: ignore[import-not-found]  # functools takes milliseconds
from struct import iter_unpack

from replant.flows import elsewhere, saving
from replant.flows.asking import Asker
from replant.flows.capture import Capture
from replant.flows.facts import Facts
from replant.flows.recording import Recording
from replant.image.container import ImageWriter
from replant.journal import current
from replant.model.frozen import Frozen
from replant.pages.store import PageWriter
from replant.policy import DEFAULT
from replant.resources import registry
from replant.tracee.freeze import freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from replant.model.tree import Model
    from replant.policy import Policy
    from replant.tracee.freeze import FrozenTree


_GUESS = 256


class DumpReport(Frozen):
    """What a dump did; times in milliseconds. ``pages_written`` counts pages of 4096 bytes.

    ``root_pid`` is the root as it was named; in the image it has the number of its own pid namespace.
    """

    image: str
    root_pid: int
    tasks: int
    threads: int
    pages_written: int
    bytes_written: int
    frozen_ms: float
    total_ms: float


def dump(
    pid: int, image: str, *, kill: bool = False, stop: bool = False, journal: str = "", policy: Policy = DEFAULT
) -> DumpReport:
    """Save the tree whose root is ``pid`` as ``image``; it runs on, or is killed, or is left stopped.

    The image has the journal in it; ``journal`` names a file that shall have it too, whatever becomes of the image.

    :raises Refused: something cannot be kept; all blockers are listed, the tree runs on.
    :raises ReplantError: the dump failed; the tree runs on.
    """
    if number := elsewhere.number(pid):
        where = (os.path.abspath(image), os.path.abspath(journal) if journal else "")
        there = partial(_dump, number, where[0], kill=kill, stop=stop, journal=where[1], policy=policy)
        return elsewhere.report(pid, there, kill)
    return _dump(pid, image, kill=kill, stop=stop, journal=journal, policy=policy)


def _dump(pid: int, image: str, *, kill: bool, stop: bool, journal: str, policy: Policy) -> DumpReport:
    began = time.perf_counter_ns()
    how = "kill" if kill else "stop" if stop else "run"
    gc.disable()
    try:
        with ImageWriter.create(image) as out, Recording("dump", out.journal_path, journal) as trace:
            with trace.journal.phase("prepare"):
                asker, facts = Asker(), Facts(pid)
                registry.preload(_links(pid))  # modules are loaded before the tree is stopped
            with freeze(pid) as frozen:
                store = PageWriter(out.pages_fd)
                model = _save(frozen, Capture(frozen, store, policy, asker, facts), store, out)
                if how == "kill":  # it dies only when the image is there
                    _finish(out, model, trace)
                frozen.release(how)
            if how != "kill":
                _finish(out, model, trace)
            return _report(out, model, frozen, store, began)
    finally:
        gc.enable()


def _links(pid: int) -> Iterator[str]:
    """What the root has open, as a guess at what the tree has."""
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder)[:_GUESS]:
            yield os.readlink(f"{folder}/{name}")
    except OSError:  # the freeze will say what is wrong
        return


def _finish(out: ImageWriter, model: Model, trace: Recording) -> None:
    with trace.journal.phase("write"):
        out.write(model, registry.state_class)
    trace.close()  # an image is whole from the moment it has its name
    out.commit()


def _save(frozen: FrozenTree, capture: Capture, store: PageWriter, out: ImageWriter) -> Model:
    """The model of the frozen tree, its pages in the store."""
    try:
        with current().phase("look"):
            model = capture.model()
    finally:
        capture.close()
    with current().phase("pages"):
        return model._replace(mms=tuple(saving.pages(model.mms, frozen, store, out.written)))


def _report(out: ImageWriter, model: Model, frozen: FrozenTree, store: PageWriter, began: int) -> DumpReport:
    return DumpReport(
        image=out.path,
        root_pid=model.root,
        tasks=len(model.tasks),
        threads=sum(len(t.threads) for t in model.tasks),
        pages_written=sum(length for m in model.mms for _, length, _ in iter_unpack("<QQQ", m.runs)) // 4096,
        bytes_written=out.bytes_written,
        frozen_ms=frozen.frozen_ms,
        total_ms=(time.perf_counter_ns() - began) / 1e6,
    )
