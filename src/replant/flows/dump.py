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

from replant.abi import machine
from replant.errors import ReplantError, TaskGone, UsageError
from replant.flows import elsewhere
from replant.flows.capture import Capture, is_gone, prepare
from replant.flows.recording import Recording
from replant.flows.saving import Contents, Known
from replant.image import sums
from replant.image.container import ImageWriter
from replant.image.remote import absolute, is_url
from replant.journal import current
from replant.model.frozen import Frozen
from replant.model.invariants import GUARD, PAGE
from replant.model.places import split
from replant.pages import identity
from replant.pages.store import PageWriter
from replant.policy import DEFAULT
from replant.progress import show
from replant.resources import registry
from replant.tracee.freeze import freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.flows.facts import Facts
    from replant.model.tree import Mm, Model
    from replant.policy import Policy
    from replant.tracee.freeze import FrozenTree


_GUESS = 256


class DumpReport(Frozen):
    """What a dump did; times in milliseconds. ``pages_written`` counts pages of 4096 bytes, ``pages_kept``
    those that earlier images have.

    ``root_pid`` is the root as it was named; in the image it has the number of its own pid namespace.

    ``rounds_frozen_ms``: the longest pause of the ``rounds`` before the last one.
    What a snapshot costs: ``copies`` of processes lived for ``copies_ms``, and in the end ``copies_bytes`` of memory
    were there twice. ``notes``: what was chosen where there was a choice, in words.
    """

    image: str
    root_pid: int
    tasks: int
    threads: int
    pages_written: int
    pages_kept: int
    bytes_written: int
    frozen_ms: float
    total_ms: float
    rounds: int
    rounds_frozen_ms: float
    copies: int
    copies_ms: float
    copies_bytes: int
    notes: tuple[str, ...] = ()


class Ways(Frozen):
    """How a dump is done: ``how`` the tree is let go of (run, stop, kill), and the choices of `dump`.

    ``form`` of the image: how it is compressed, and whether it is encrypted.
    """

    how: str
    snapshot: bool
    form: tuple[str, bool]
    parent: str
    track: bool
    rounds: int
    until_frozen: float


def dump(
    pid: int,
    image: str,
    *,
    kill: bool = False,
    stop: bool = False,
    snapshot: bool = False,
    compress: str = "none",
    parent: str = "",
    track: bool = False,
    encrypt: bool = False,
    rounds: int = 0,
    until_frozen: float = 0,
    journal: str = "",
    policy: Policy = DEFAULT,
) -> DumpReport:
    """Save the tree whose root is ``pid`` as ``image``; it runs on, or is killed, or is left stopped.

    ``compress``: ``lz4`` or ``zstd`` for the page store, once the tree runs on; each needs its library.
    ``encrypt``: with the key in the file that ``$REPLANT_KEY_FILE`` names, or in ``$REPLANT_KEY``.
    ``snapshot``: it is stopped only until its processes are copied in memory, and runs on while these are saved.
    ``track``: what it writes from this dump on is noted, so that the next one can name this image as its ``parent``,
    and saves only what has changed.
    ``rounds``: so often at most memory is copied while it runs, with what it has written meanwhile, before it is
    stopped for the rest; fewer if that is expected to take ``until_frozen`` milliseconds at most.
    The image has the journal in it; ``journal`` names a file that shall have it too, whatever becomes of the image.

    :raises Refused: something cannot be kept; all blockers are listed, the tree runs on.
    :raises ReplantError: the dump failed; the tree runs on.
    """
    machine.require()
    if is_url(image) and (parent or track):
        raise UsageError("an image behind a URL builds on no other, and none builds on it", code="usage")
    form = (compress, encrypt)
    how = "kill" if kill else "stop" if stop else "run"
    ways = Ways(how, snapshot, form, parent, track, rounds, until_frozen)
    if number := elsewhere.number(pid):
        if track or parent or rounds:
            raise _not_there(pid)
        where = (absolute(image), os.path.abspath(journal) if journal else "")
        return elsewhere.report(pid, partial(_dump, number, *where, ways, policy), kill)
    return _dump(pid, image, journal, ways, policy)


def _not_there(pid: int) -> ReplantError:
    return ReplantError(
        f"the tree of {pid} is in a pid namespace of its own: it is not tracked from outside",
        code="namespace",
        pid=pid,
        hint="dump it without --parent, --track and --rounds",
    )


def _dump(pid: int, image: str, journal: str, ways: Ways, policy: Policy) -> DumpReport:
    began = time.perf_counter_ns()
    gc.disable()
    try:
        with ImageWriter.create(image, *ways.form) as out, Recording("dump", out.journal_path, journal) as trace:
            with trace.journal.phase("prepare"):
                asker, facts = prepare(pid)
                registry.preload(_links(pid))  # modules are loaded before the tree is stopped
                out.get_ready(registry.states())
                known = _known(pid, ways, image, facts)
                contents = _contents(pid, ways, known)
            with known:
                store = PageWriter(out.pages_fd)
                if ways.rounds:
                    with trace.journal.phase("rounds"):
                        known.prepare(store, ways.rounds, ways.until_frozen)
                with contents, freeze(pid, facts.waits) as frozen:
                    model = _look(Capture(frozen, store, policy, asker, facts, out.path))
                    notes = tuple(registry.told(model.files))
                    contents.hold(frozen, model, store, out.written)
                    early = ways.snapshot and ways.how == "run"
                    if early:
                        frozen.release()
                    with trace.journal.phase("pages"):
                        model = _saved(model, contents, store, out)
                    if ways.how == "kill":  # it dies only when the image is there
                        _finish(out, model, known, trace)
                    if not early:
                        frozen.release(ways.how)
                if ways.how != "kill":
                    _finish(out, model, known, trace)
                known.finish(out.identity, out.path)
            return _report(out, model, frozen, contents, notes, began)
    finally:
        gc.enable()


def _saved(model: Model, contents: Contents, store: PageWriter, out: ImageWriter) -> Model:
    """The model with the places of its pages. :raises TaskGone: a process was killed meanwhile."""
    try:
        return model._replace(mms=tuple(contents.save(model.mms, store, partial(_written, out, store))))
    except ProcessLookupError as e:
        gone = [mm.pid for mm in model.mms if is_gone(mm.pid)]
        raise TaskGone(gone[0] if gone else model.root, "its memory was saved") from e


def _known(pid: int, ways: Ways, image: str, facts: Facts) -> Known:
    """What need not be saved again."""
    if ways.rounds:
        from replant.flows.precopy import Precopy

        return Precopy(pid, ways.parent, ways.track, image, facts.waits)
    if not ways.parent and not ways.track:
        return Known()
    from replant.flows.increments import Increment

    return Increment(pid, ways.parent, ways.track, image)


def _contents(pid: int, ways: Ways, known: Known) -> Contents:
    """Where the pages will be read from."""
    if not ways.snapshot:
        return Contents(known)
    from replant.flows import snapshots

    if ways.how == "run":
        snapshots.check_room(pid)
    return snapshots.Snapshot(known)


def _links(pid: int) -> Iterator[str]:
    """What the root has open, as a guess at what the tree has."""
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder)[:_GUESS]:
            yield os.readlink(f"{folder}/{name}")
    except OSError:  # the freeze will say what is wrong
        return


def _finish(out: ImageWriter, model: Model, known: Known, trace: Recording) -> None:
    if identity.promises(model.mms):
        with trace.journal.phase("merge"):
            model = model._replace(mms=identity.merge(model.mms, out.rewriting(), sums.quick))
    if known.rounds:
        known.tidy(model.mms, out.rewriting())
    with trace.journal.phase("write"):
        out.write(model, registry.state_class, parents=known.parents(model.mms, out.path))
    trace.close()  # an image is whole from the moment it has its name
    out.commit()


def _written(out: ImageWriter, store: PageWriter, size: int) -> None:
    """So much of the store is final; what has been reserved is known to come."""
    out.written(size)
    show("saving", size, store.size)


def _look(capture: Capture) -> Model:
    try:
        with current().phase("look"):
            return capture.model()
    finally:
        capture.close()


def _report(
    out: ImageWriter, model: Model, frozen: FrozenTree, contents: Contents, notes: tuple[str, ...], began: int
) -> DumpReport:
    written, kept = _pages(out.mms)
    return DumpReport(
        image=out.path,
        root_pid=model.root,
        tasks=len(model.tasks),
        threads=sum(len(t.threads) for t in model.tasks),
        pages_written=written,
        pages_kept=kept,
        bytes_written=out.bytes_written,
        frozen_ms=frozen.frozen_ms,
        total_ms=(time.perf_counter_ns() - began) / 1e6,
        rounds=contents.known.rounds,
        rounds_frozen_ms=contents.known.longest,
        copies=contents.copies,
        copies_ms=contents.copies_ms,
        copies_bytes=contents.copies_bytes,
        notes=notes,
    )


def _pages(mms: Sequence[Mm]) -> tuple[int, int]:
    """How many pages stand in the image's own store, and in those of others; one that several have counts once."""
    places = {(at, length) for mm in mms for _, length, at in iter_unpack("<QQQ", mm.runs) if at != GUARD}
    counts, end = [0, 0], 0
    for at, length in sorted(places):
        counts[split(at)[0] > 0] += max(0, at + length - max(at, end)) // PAGE
        end = max(end, at + length)
    return counts[0], counts[1]
