"""Makes a tree, in the worker: from the first descriptor to the last detach, stage by stage.

What a stage needs is declared in `replant.flows.stages`, from which the order follows. Until the tree is kept
everything made can be taken back, and is if a stage fails.
"""

from __future__ import annotations

import gc

from replant.abi import x86_64
from replant.abi.resource import open_files
from replant.execute import landing
from replant.execute.arena import GAP, SIZE, Arena, find_place
from replant.execute.clone import CLONE_PTRACE, clone_args, free_number
from replant.execute.landing import Landing
from replant.execute.local import Restorer
from replant.execute.seed import Seed
from replant.execute.stubs import Stubs, trap_signal
from replant.execute.vdso import Vdso
from replant.flows import old_vdso, stages, touchdown, tree
from replant.flows.holding import Holding
from replant.flows.program import Program, alive
from replant.journal import current
from replant.journal.known import DECISION
from replant.pages.fill import check_filled
from replant.pages.store import PageReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from replant.abi.call import Track
    from replant.flows.lazily import Lazy
    from replant.image.container import Image
    from replant.model.tree import Model, Task
    from replant.policy import Policy

_SIGCHLD = 17


def make(
    image: Image, model: Model, stop: bool, policy: Policy, later: Lazy | None, commit: Callable[[], None]
) -> dict[str, object]:
    """Make the tree of ``model``; ``commit`` is called at the point from which on it stays.

    :raises ReplantError: it could not be made, and nothing of it is left.
    """
    gc.disable()
    open_files(raised=True)
    making, phase = Making(image, model, stop, policy, later, commit), current().phase
    try:
        for name in stages.sequence():
            with phase(name):
                making.stage(name)
    except BaseException:
        with phase("undo"):
            making.undo()
        raise
    finally:
        making.holding.end()
    return {}


class Making:
    """What the stages of a restore have in common; a method for each that has to be done."""

    def __init__(
        self, image: Image, model: Model, stop: bool, policy: Policy, later: Lazy | None, commit: Callable[[], None]
    ) -> None:
        self._vdso = Vdso()
        model, self._old_code = old_vdso.replaced(later.now if later else model, self._vdso)
        address = find_place([m.vmas for m in model.mms], SIZE + GAP + self._vdso.size)
        self._arena = Arena(address, SIZE)
        pages = PageReader(*image.stores(later.blocks() if later else ()))
        self._program = Program(model, pages, policy, self._arena.place, address + SIZE + GAP)
        self._tasks = alive(model)
        self._restorer = Restorer(self._arena)
        self._stubs = Stubs(self._arena, trap_signal(self._program.queued()))
        self._stubs.finished = self._finished
        self._stop, self._later, self._keep = stop, later, commit
        self._seed = 0
        self.holding = Holding(self._program)

    def stage(self, name: str) -> None:
        """Do one of `stages.STAGES`."""
        getattr(self, f"_{name.replace(' ', '_')}")()

    def undo(self) -> None:
        """Take back everything made."""
        self._stubs.abandon()
        self._restorer.undo()

    def _finished(self, track: Track) -> None:
        check_filled(track.calls, track.answers)
        if self._later:
            self._later.opened(track)

    # descriptors and processes

    def _hold(self) -> None:
        self.holding.begin()

    def _open(self) -> None:
        self._restorer.run(self._program.files.in_restorer())
        self._program.files.opened()

    def _sow(self) -> None:
        """The seed is an orphan if the root must not notice that its maker ends."""
        program, stubs, arena = self._program, self._stubs, self._arena
        wanted = tree.numbers(program.model)
        seed = Seed(wanted, program.traced())
        self._seed = seed.pid
        stubs.adopt(seed.pid)
        seed.enter(arena)
        track = seed.strip(program.parked, program.files.lowest)
        if not program.family_matters():
            stubs.run(seed.pid, track)
            return
        self._seed = orphan = free_number(wanted, seed.pid)
        DECISION(
            current(), orphan, "it is the seed, whose maker ends", "the root has an attribute that this would set off"
        )
        track.call(x86_64.clone3, clone_args(orphan, CLONE_PTRACE, _SIGCHLD, arena.place), 88, why="an orphan to be")
        stubs.expect(orphan)
        stubs.run(seed.pid, track)
        stubs.end(seed.pid)

    def _grow(self) -> None:
        self._growth = tree.grow(self._program, self._stubs, self._restorer, self._seed)

    def _unshare(self) -> None:
        self._start(self._growth.unshare())

    def _enter(self) -> None:
        self._restorer.run(self._program.entering(task.pid for task in self._tasks))

    def _open_inside(self) -> None:
        self._start(self._program.files.by_makers().values())

    def _start(self, tracks: Iterable[Track]) -> None:
        """Let processes do something at the same time, and wait for all of them."""
        for track in tracks:
            self._stubs.start(int(track.actor), track)
        self._stubs.settle()

    def _fetch(self) -> None:
        self._restorer.run(self._program.files.fetch())
        self._program.files.opened()

    def _fill(self) -> None:
        self._restorer.run(self._program.files.fill())

    # what each process and each thread does; they work while the next is being built

    def _processes(self) -> None:
        self._run([task for task in self._tasks if not task.files_of])

    def _sharers(self) -> None:
        self._run([task for task in self._tasks if task.files_of])

    def _run(self, tasks: list[Task]) -> None:
        self._stubs.born = self._thread
        for task in tasks:
            for tid in task.threads[1:]:
                self._stubs.expect(tid)
            opening = self._later.opening(task.pid, self._program.files.lowest) if self._later else None
            if opening:
                self._stubs.start(task.pid, opening)
            for part in self._program.process(task.pid):
                self._stubs.follow(task.pid, part)
            self._stubs.poll()
        self._stubs.settle()

    def _thread(self, tid: int) -> None:
        self._stubs.start(tid, self._program.thread(tid))

    def _shared_tables(self) -> None:
        self._start(map(self._program.shared, self._program.sharers))

    def _late(self) -> None:
        self._start(self._program.late(task.pid) for task in self._tasks if len(task.threads) > 1)

    def _lead(self) -> None:
        old_vdso.put(self._old_code)

    # the end

    def _outside(self) -> None:
        self._restorer.run(self._program.attributes_outside())

    def _serve(self) -> None:
        if self._later:
            self._later.begin(self._arena)

    def _land(self) -> None:
        program, vdso = self._program, self._vdso
        to = Landing(self._arena, program.registers, lambda pid: vdso.instruction(program.mms[pid]))
        touchdown.land(program, to)

    def _end_the_seed(self) -> None:
        self._stubs.end(self._seed)

    def _watch(self) -> None:
        if self._later:
            self._later.until_ready()

    def _commit(self) -> None:
        self._keep()

    def _let_go(self) -> None:
        self.holding.let_go()

    def _wake(self) -> None:
        self._restorer.run(self._program.wake())

    def _release(self) -> None:
        landing.release(self._tasks, self._stop)
