"""From a model to a program: what the restorer opens, what each process and each thread does, in which order.

Nothing here runs a call. The tree itself (who forks whom) is derived by `replant.derive`, and so is what each process
and thread does in which order (`replant.resources.order`); what a kind needs is declared in its module.
"""

from __future__ import annotations

import time
from errno import ESRCH
from itertools import pairwise

from replant.abi import x86_64
from replant.abi.call import Track
from replant.errors import ImageError
from replant.execute import standin
from replant.execute.arena import GAP, SIZE, find_place
from replant.execute.clone import CLONE_THREAD, clone_args
from replant.execute.landing import Registers
from replant.flows.memory import Memory
from replant.flows.opening import Opening
from replant.resources import registry, steps
from replant.tracee import blob

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from replant.abi.call import Call, Slot
    from replant.flows.heritage import Heritage
    from replant.model.frozen import Frozen
    from replant.model.tree import Extent, File, Model, Task
    from replant.pages.store import PageReader
    from replant.policy import Policy

_LOWEST, _HIGHEST = 1 << 16, 0x7FFF_FFFF_F000  # vm.mmap_min_addr, TASK_SIZE_MAX
_SIGCHLD = 17
_NONE: dict[str, Frozen] = {}


class Program:
    """The restore of ``model``, built piece by piece; also the `RestoreSide` that kinds are given.

    ``place`` puts bytes where stubs can read them and gives the address; ``parked`` is where the seed's vDSO waits.
    """

    def __init__(
        self,
        model: Model,
        pages: PageReader,
        policy: Policy,
        place: Callable[[bytes], int],
        parked: int,
    ) -> None:
        self.model = model
        self.reader = pages
        self.place = place
        self.parked = parked
        self.tasks = {t.pid: t for t in model.tasks}
        self.mms = {m.pid: m for m in model.mms}
        self.tables = {t.pid: t for t in model.tables}
        self.outside = Track("replant")
        self.sharers = {t.files_of for t in model.tasks} - {0}  # of each shared descriptor table the first
        self.heritages: Mapping[int, Heritage] = {}
        self.notes: dict[object, Any] = {}
        self._policy = policy
        self._given = {
            "family": self._family,
            "descriptors": self._descriptors,
            "threads": self._threads,
            "extended state": self._xstate,
            "closing": self._closing,
        }
        self._order = steps.process_order()
        self._states: dict[int, dict[str, Frozen]] = {}
        for a in model.attributes:
            self._states.setdefault(a.tid, {})[a.kind] = a.state
        self._births: dict[int, Sequence[int | Call]] = {}
        kinds = registry.task_kinds()
        self._kinds = [(name, kinds[name]) for name in self._order.leader if name in kinds]
        self._birth_kinds = [(name, kind.births) for name, kind in self._kinds if hasattr(kind, "births")]
        self.files = Opening(model, pages.stores, self)

    # what kinds may ask

    @property
    def pages(self) -> Slot | int:
        """The descriptor of the page store that the restorer and all stubs have."""
        return self.files.stores[0]

    def load(self, extent: Extent) -> bytes:
        """Bytes of the page store."""
        return self.reader.load(extent)

    def policy(self, option: str) -> str:
        """The user's choice for an option, ``""`` for the default."""
        return self._policy.choice(option)

    def elapsed(self) -> int:
        """Nanoseconds since the freeze, 0 when the clock has gone back."""
        return max(0, time.monotonic_ns() - self.model.clock)

    def holder(self, number: int) -> tuple[int, int] | None:
        """The first process that holds a description, and its descriptor."""
        return self.files.holder(number)

    def fd(self, number: int) -> Slot | int:
        """The descriptor that the restorer and all stubs have of a description until the end.

        :raises ImageError: there is no such description.
        """
        if number not in self.files.fds:
            raise ImageError(f"the image refers to file {number}, which it does not hold", code="image-reference")
        return self.files.fds[number]

    @property
    def lowest(self) -> int:
        """The number above every descriptor of the tree: what is open from there on ends with the restore."""
        return self.files.lowest

    def stand_in(self, on: Track, pid: int, uid: int = -1, gid: int = -1, real_uid: int = -1, status: int = 0) -> Track:
        """A track for calls that a process with that pid and those ids makes, at this place of ``on``."""
        return standin.add(on, standin.Who(pid, uid, gid, real_uid, status))

    def file(self, number: int) -> File:
        """The row of a description."""
        return self.model.files[number]

    def room(self, length: int) -> int:
        """An address where no process has or will have anything, the restore's own things included."""
        return find_place([m.vmas for m in self.model.mms], length, besides=self.parked)

    def holes(self, pid: int) -> list[tuple[int, int]]:
        """What is free between the mappings of a process, and what the restore has there."""
        vmas = self.mms[pid].vmas
        arena = self.parked - GAP - SIZE, self.parked - GAP
        ours = [arena] if any(vma.kind == "vdso" for vma in vmas) else [arena, (self.parked, self.parked + GAP)]
        taken = sorted([*((vma.start, vma.end) for vma in vmas), *ours])
        edges = [(0, _LOWEST), *taken, (_HIGHEST, _HIGHEST)]
        return [(end, start) for (_, end), (start, _) in pairwise(edges) if start > end]

    def rouse(self, number: int, on: Track) -> Callable[[], None]:
        """Calls in a process that make a description ready; the answer appends those that take it back."""
        file = self.file(number)
        take_back: Callable[[], None] = registry.hook(registry.file_kind(file.kind), "rouse")(
            file, self.fd(number), on, self
        )
        return take_back

    def exe_fd(self, tid: int) -> int:
        """The descriptor of the executable of process ``tid``: a number, known once the restorer has opened it."""
        fd = self.files.fds[self.tasks[tid].exe]
        return fd if isinstance(fd, int) else -1

    def state(self, kind: str, tid: int) -> Frozen | None:
        """The State of an attribute of a thread."""
        return self._states.get(tid, {}).get(kind)

    def family_matters(self) -> bool:
        """Whether the root has an attribute that the end of its parent would set off."""
        kinds = registry.task_kinds()
        return any("family" in kinds[name].USES for name in self._states.get(self.model.root, {}))

    def traced(self) -> int:
        """The PTRACE_O_… that stubs need for what they are to become."""
        options = 0
        for name in {name for states in self._states.values() for name in states}:
            options |= getattr(registry.task_kinds()[name], "TRACED", 0)
        return options

    def queued(self) -> set[int]:
        """The signals that some task will have pending."""
        return {signal for task in self.model.tasks for signal in self.queued_for(task)}

    def queued_for(self, task: Task) -> set[int]:
        """The signals that a process or one of its threads will have pending."""
        hooks = [(n, registry.hook(k, "queues")) for n, k in self._kinds]
        states = [(queues, self.state(name, tid)) for name, queues in hooks if queues for tid in task.threads]
        return {signal for queues, state in states if state is not None for signal in queues(state)}

    def second_stops(self, task: Task) -> list[int]:
        """The threads (0: the process itself) in whose queue a SIGSTOP waits while the process is stopped."""
        hooks = [(n, registry.hook(k, "second_stops")) for n, k in registry.task_kinds().items()]
        states = [(stops, self.state(name, tid), tid) for name, stops in hooks if stops for tid in task.threads]
        return [queue for stops, state, tid in states if state is not None for queue in stops(state, tid)]

    # the processes

    def process(self, pid: int) -> Iterator[Track]:
        """What a living process does: memory, descriptors, attributes, threads.

        A long program comes in parts, so that the process works on one while the next is being built.
        """
        on = Track(str(pid))
        task = self.tasks[pid]
        order = self._order
        names = order.leader if len(task.threads) == 1 else order.early
        memory = Memory(self.mms[pid], self.heritages.get(pid), self).steps()
        for name in names:
            if name in memory:
                on = yield from memory[name](on)
            else:
                self._do((name,), pid, on)
        yield on

    def _do(self, names: Iterable[str], tid: int, on: Track) -> None:
        """Those of the steps that there are for this task, in the order given."""
        states, given, kinds = self._states.get(tid, _NONE), self._given, registry.task_kinds()
        for name in names:
            if name in states:
                kinds[name].make(states[name], tid, on, self)
            elif name in given:
                given[name](tid, on)

    def _family(self, pid: int, on: Track) -> None:
        on.call(x86_64.rt_sigaction, _SIGCHLD, bytes(32), 0, 8, why="forget the children that died on the way")

    def shared(self, pid: int) -> Track:
        """What the first of those does who share a descriptor table, when all of them have done their part."""
        on = Track(str(pid))
        self._close(pid, on)
        return on

    def _closing(self, pid: int, on: Track) -> None:
        if not self.tasks[pid].files_of and pid not in self.sharers:
            self._close(pid, on)

    def _close(self, pid: int, on: Track) -> None:
        on.call(x86_64.close_range, self.files.lowest, self.files.highest, 0, why="descriptors of the restore")
        self.files.settle(self.tables[pid], on)

    def thread(self, tid: int) -> Track:
        """What a thread other than the first does."""
        on = Track(str(tid))
        self._give_birth(tid, on)
        self._do(self._order.thread, tid, on)
        return on

    def late(self, pid: int) -> Track:
        """What the first of several threads does when all of them have done their part."""
        on = Track(str(pid))
        self._do(self._order.late, pid, on)
        return on

    def gives(self, pid: int, fork: int) -> bool:
        """Whether a process has to `give` before it forks that one."""
        return pid in self.heritages and fork in self.heritages[pid].forks

    def give(self, pid: int, fork: int, on: Track) -> None:
        """What a process does before a fork: the memory that it has in common with who comes from there."""
        heritage = self.heritages[pid]
        if fork == heritage.forks[0]:
            self._do([name for name, kind in self._kinds if registry.hook(kind, "SHAPES_PAGES")], pid, on)
            heritage.prepare(on, self)
        heritage.give(fork, on, self.files.stores)

    def dying(self, pid: int, on: Track) -> None:
        """What a dead process does before it dies: it becomes who it was."""
        self._do([name for name, kind in self._kinds if registry.hook(kind, "DEAD")], pid, on)

    def registers(self, tid: int) -> Registers:
        """What a thread lands with."""
        state: Any = self.state("registers", tid)
        landing: Any = registry.task_kinds()["registers"]
        timeout = (*landing.timeout(state), self.elapsed())
        entered, end = landing.landing(state, self), landing.detour(state, self)
        return Registers(tid, state.gprs, state.sigmask, entered, timeout, end, state.detours)

    def _xstate(self, tid: int, on: Track) -> None:
        """Vector and other extended registers, by the one instruction that is faster than PTRACE_SETREGSET."""
        state: Any = self.state("registers", tid)
        # bytes 464..471 of a ptrace XSAVE area: the components that it has room for (linux: struct fpx_sw_bytes' place)
        components = int.from_bytes(state.xstate[464:472], "little")
        on.call(blob.XRSTOR, self.place(state.xstate), components, why="extended state")

    def _threads(self, pid: int, on: Track) -> None:
        self._births.update(self._birth_plan(self.tasks[pid]))
        self._give_birth(pid, on)

    def _birth_plan(self, task: Task) -> Mapping[int, Sequence[int | Call]]:
        """Who clones which thread, with what in between; as a rule the leader clones all of them."""
        for name, births in self._birth_kinds:
            states = {tid: state for tid in task.threads if (state := self.state(name, tid)) is not None}
            if states:
                return births(task.threads, states, self)
        return {task.pid: task.threads[1:]}

    def _give_birth(self, tid: int, on: Track) -> None:
        for step in self._births.pop(tid, ()):
            if isinstance(step, int):
                on.call(x86_64.clone3, clone_args(step, CLONE_THREAD, 0, self.place), 88, why=f"thread {step}")
            else:
                on.calls.append(step)

    def entering(self, pids: Iterable[int]) -> Track:
        """What the restorer does about processes that have nothing yet."""
        hooks = [(name, enter) for name, k in self._kinds if (enter := registry.hook(k, "enter"))]
        for pid in pids:
            for name, enter in hooks:
                state = self.state(name, pid)
                if state is not None:
                    enter(state, pid, self.outside, self)
        return self.outside

    def attributes_outside(self) -> Track:
        """What the restorer writes about tasks that exist: files of /proc, owners of signals."""
        for name, kind in self._kinds:
            make = registry.hook(kind, "make_outside")
            for tid, states in self._states.items() if make is not None else ():
                if name in states:
                    make(states[name], tid, self.outside, self)
        self.files.owners(self.outside)
        self.files.finish(self.outside)
        return self.outside

    def wake(self) -> Track:
        """What the restorer does last, past the point of no return."""
        self.files.wake(self.outside)
        return self.outside

    def _descriptors(self, pid: int, on: Track) -> None:
        task = self.tasks[pid]
        if not task.files_of:
            self.files.place(self.tables[task.pid], on)
        if task.root >= 0:
            on.call(x86_64.fchdir, self.files.here(task.root, on), why="root")
            on.call(x86_64.chroot, b".\0", why="root")
        # ESRCH: that of a process that is gone, in which it is already
        on.call(x86_64.fchdir, self.files.here(task.cwd, on), why="current directory", ok=(ESRCH,))


def alive(model: Model) -> list[Task]:
    """The tasks that are not zombies, parents first."""
    return [t for t in model.tasks if t.state != "Z"]
