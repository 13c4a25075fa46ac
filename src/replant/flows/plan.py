"""The program of a restore, to be read: who makes which system call, and why."""

from __future__ import annotations

from replant.abi import x86_64
from replant.abi.call import At, Out, Packed, Slot
from replant.flows import tree
from replant.flows.program import Program, alive
from replant.image.container import open_image
from replant.model.frozen import Frozen
from replant.pages.store import PageReader
from replant.policy import DEFAULT
from replant.resources import registry
from replant.tracee import blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from replant.abi.call import Arg, Call, Track
    from replant.model.tree import Model

_SPECIAL = {blob.XRSTOR: "xrstor"}


class Step(Frozen):
    """Step ``number`` of ``actor`` (a tid, or ``replant``): the call as strace(1) would print it, and the reason."""

    actor: str
    number: int
    call: str
    why: str


def plan(target: str | int) -> list[Step]:
    """The steps that restore an image, or that would restore a live tree.

    :raises Refused: the tree cannot be restored, or (live) not be dumped.
    """
    if isinstance(target, int):
        from replant.flows.capture import look

        model, pages = look(target)
        return list(_steps(model, pages))
    with open_image(target) as image:
        return list(_steps(image.model(registry.state_class), PageReader(*image.stores())))


def _steps(model: Model, pages: PageReader) -> Iterable[Step]:
    nowhere = _Nowhere()
    program = Program(model, pages, DEFAULT, nowhere.place, parked=0)
    files = program.files
    yield from _track(files.in_restorer())
    for index, (actor, track) in enumerate(tree.Growth(model, 0, nowhere.place, program.fd, program.dying)):
        yield from (Step(str(actor or "seed"), index, render(call), call.why) for call in track.calls)
    for track in files.by_makers().values():
        yield from _track(track)
    opened = len(files.restorer.calls)
    yield from _track(files.fill(), opened)
    for task in alive(model):
        for part in program.process(task.pid):
            yield from _track(part)
        for tid in task.threads[1:]:
            yield from _track(program.thread(tid))
    program.entering()
    program.attributes_outside()
    yield from _track(program.wake())


class _Nowhere:
    """An arena that is only counted."""

    def __init__(self) -> None:
        self._top = 0

    def place(self, data: bytes) -> int:
        self._top += (len(data) + 63) & -64
        return self._top


def _track(track: Track, first: int = 0) -> Iterable[Step]:
    """The steps of a track from number ``first`` on."""
    for index, call in enumerate(track.calls[first:], first):
        yield Step(track.actor, index, render(call), call.why)


def render(call: Call) -> str:
    """A call as strace(1) would print it; results that are not known yet as ``$actor.index``."""
    name = _SPECIAL.get(call.nr) or x86_64.name(call.nr)
    return f"{name}({', '.join(map(_argument, call.args))})"


def _argument(arg: Arg) -> str:
    if isinstance(arg, (At, Out, Packed, Slot)):
        return repr(arg)
    if isinstance(arg, bytes):
        text = arg.rstrip(b"\0")
        shown = repr(text)[1:] if text.isascii() and text else f"<{len(arg)} bytes>"
        return shown if len(shown) < 60 else shown[:57] + "…"
    return f"{arg:#x}" if abs(arg) > 0xFFFF else str(arg)
