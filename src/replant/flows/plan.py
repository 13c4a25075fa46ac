"""The program of a restore, to be read: who makes which system call, and why."""

from __future__ import annotations

from replant.abi import x86_64
from replant.abi.call import At, Out, Packed, Slot
from replant.flows import stages, tree
from replant.flows.program import Program, alive
from replant.image.container import open_image
from replant.model.frozen import Frozen
from replant.pages.store import PageReader
from replant.policy import DEFAULT
from replant.resources import registry
from replant.tracee import blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from replant.abi.call import Arg, Call, Track
    from replant.model.tree import Model, Task

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


def model_of(target: str | int) -> Model:
    """The model of an image or of a live tree.

    :raises Refused: something in it could not be kept.
    """
    if isinstance(target, int):
        from replant.flows.capture import inspect

        return inspect(target)
    with open_image(target) as image:
        return image.model(registry.state_class)


def _steps(model: Model, pages: PageReader) -> Iterable[Step]:
    """What is done in each stage of a restore, in their order."""
    nowhere = _Nowhere()
    program = Program(model, pages, DEFAULT, nowhere.place, parked=0)
    stage = _Stages(program, tree.Growth(program, 0)).stage
    for name in stages.sequence():
        yield from stage.get(name, list)()


class _Stages:
    """The calls of each stage that makes any."""

    def __init__(self, program: Program, growth: tree.Growth) -> None:
        files, tasks = program.files, alive(program.model)
        self._program = program
        self._growth = growth
        self._shown: dict[Track, int] = {}
        self.stage: dict[str, Callable[[], Iterable[Step]]] = {
            "open": lambda: self._added(files.in_restorer()),
            "grow": self._grow,
            "unshare": lambda: self._each(growth.unshare()),
            "enter": lambda: self._added(program.entering(program.mms)),
            "open inside": lambda: self._each(files.by_makers().values()),
            "fill": lambda: self._added(files.fill()),
            "processes": lambda: self._processes([t for t in tasks if not t.files_of]),
            "sharers": lambda: self._processes([t for t in tasks if t.files_of]),
            "shared tables": lambda: self._each(map(program.shared, program.sharers)),
            "late": lambda: self._each(program.late(t.pid) for t in tasks if len(t.threads) > 1),
            "outside": lambda: self._added(program.attributes_outside()),
            "wake": lambda: self._added(program.wake()),
        }

    def _added(self, track: Track) -> Iterable[Step]:
        """What the restorer does in this stage, of a track that others have begun."""
        first = self._shown.get(track, 0)
        self._shown[track] = len(track.calls)
        return _track(track, first)

    def _each(self, tracks: Iterable[Track]) -> Iterable[Step]:
        for track in tracks:
            yield from _track(track)

    def _grow(self) -> Iterable[Step]:
        for index, (actor, track) in enumerate(self._growth):
            yield from (Step(str(actor or "seed"), index, render(call), call.why) for call in track.calls)

    def _processes(self, tasks: Iterable[Task]) -> Iterable[Step]:
        for task in tasks:
            yield from self._each(self._program.process(task.pid))
            yield from self._each(map(self._program.thread, task.threads[1:]))


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
