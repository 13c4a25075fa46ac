"""The tree of processes: derived from the model, then grown by stubs, actor by actor.

`replant.derive` knows which forks, sessions, groups and helpers lead to the tree; here its operations become system
calls. All that an actor can do without waiting for another is one batch, and the batches of a round run side by side.
"""

from __future__ import annotations

import os

from replant.abi import tty, x86_64
from replant.abi.call import Track
from replant.derive import Outside, process_tree
from replant.errors import Blocker, Refused
from replant.execute.clone import CLONE_PARENT, CLONE_PTRACE, clone_args
from replant.flows.heritage import heritages
from replant.flows.shares import Births

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from replant.derive import Derivation
    from replant.execute.local import Restorer
    from replant.execute.stubs import Stubs
    from replant.flows.program import Program
    from replant.model.tree import Model, Task

_OUTSIDE = 0  # what numbers outside of the tree are in a model: the parent of the root, its group and session
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NAME = 15
_WALL = 0x40000000
_SIG_SETMASK = 2
_RLIMIT_CORE = 4


class _Taken:
    """The pids that no helper can have: those that others have, and ``wanted``."""

    def __init__(self, wanted: set[int]) -> None:
        self._wanted = wanted

    def __contains__(self, pid: object) -> bool:
        return pid in self._wanted or os.path.exists(f"/proc/{pid}")


def derive_tree(model: Model) -> Derivation:
    """The derivation of a model's process tree, simulated.

    :raises Refused: no sequence of system calls leads to it; the core of the problem is told.
    """
    outside = Outside(_OUTSIDE, _OUTSIDE, _OUTSIDE)
    terminals = {t.pid: (t.terminal, t.foreground) for t in model.tasks if t.terminal >= 0}
    found = process_tree(model.tasks, outside=outside, avoid=_Taken({front for _, front in terminals.values()}))
    why, core = found.why, found.core
    if found.ok and terminals:
        from replant.derive.linux.target import Impossible  # few trees have a terminal of their own
        from replant.derive.linux.terminals import weave

        try:
            weave(found, terminals)
        except Impossible as impossible:
            why, core = impossible.why, impossible.core
    if not why:
        _shared(model, found)
        return found
    hint = "end the processes named, or dump a smaller tree"
    raise Refused(
        f"the process tree of {model.root} cannot be built",
        [Blocker(why, code="tree", pid=pid, resource=f"pid {pid}", hint=hint) for pid in core or [0]],
    )


def _shared(model: Model, found: Derivation) -> None:
    try:
        Births(model, found.ops)
    except Blocker as blocker:
        raise Refused(f"the process tree of {model.root} cannot be built", [blocker]) from None


def numbers(model: Model) -> set[int]:
    """Every number that must be free: tasks, threads, and dead leaders of groups, for which helpers stand in."""
    inside = {n for t in model.tasks for n in (t.pid, t.pgid, t.sid, t.foreground, *t.threads)}
    return inside - {_OUTSIDE}


class Growth:
    """The operations of a derivation as calls of their actors."""

    def __init__(self, program: Program, seed: int) -> None:
        self._program = program
        self._place, self._fd, self._dying = program.place, program.fd, program.dying
        self.derivation = derive_tree(program.model)
        self._ops: list[Any] = self.derivation.ops
        self._tasks = program.tasks
        self._of_siblings = self._sibling_signals()
        self.births = Births(program.model, self._ops)
        self._seed = seed
        program.heritages = heritages(program.model, self.births.makers)

    def rounds(self) -> Iterator[dict[int, list[int]]]:
        """Indices of operations by actor: what can be done side by side, round after round."""
        ops, needs = self._ops, self.derivation.dependencies()
        done: set[int] = set()
        waiting: dict[int, list[int]] = {}
        for index, op in enumerate(ops):
            waiting.setdefault(op[0], []).append(index)
        while waiting:
            ready = {actor: batch for actor, queue in waiting.items() if (batch := _prefix(queue, needs, done))}
            for actor, batch in ready.items():
                done.update(batch)
                waiting[actor] = waiting[actor][len(batch) :]
            waiting = {actor: queue for actor, queue in waiting.items() if queue}
            yield ready

    def __iter__(self) -> Iterator[tuple[int, Track]]:
        """Each operation in order: the actor (0: outside) and its calls."""
        for index, op in enumerate(self._ops):
            yield op[0], self.track(op[0], [index])

    def unshare(self) -> Iterator[Track]:
        """What those do, once all are born, who were only on the way between others that share something."""
        for pid, flags in self.births.leaving.items():
            on = Track(str(pid))
            on.call(x86_64.unshare, flags, why="shared only by others")
            yield on

    def track(self, actor: int, batch: Iterable[int]) -> Track:
        """The calls of one batch."""
        on = Track(str(actor or self._seed))
        for index in batch:
            op = self._ops[index]
            getattr(self, f"_{op[1]}")(on, *op)
        return on

    def born(self, batch: Iterable[int]) -> list[int]:
        """The pids to which a batch gives birth."""
        ops = self._ops
        return [ops[i][2] for i in batch if ops[i][1].startswith("fork")]

    def dies(self, batch: Iterable[int]) -> bool:
        """Whether a batch ends its actor."""
        return any(self._ops[i][1] == "exit" for i in batch)

    # one operation of the derivation each

    def _fork(self, on: Track, actor: int, _: str, pid: int) -> None:
        self._give(actor, pid, on)
        flags, signal = CLONE_PTRACE | self.births.flags.get(pid, 0), self._exit_signal(pid)
        if actor == _OUTSIDE:  # the seed stands in for the restorer, and its child is the restorer's
            flags, signal = flags | CLONE_PARENT, 0
        on.call(x86_64.clone3, clone_args(pid, flags, signal, self._place), 88, why=f"process {pid}")

    def _fork_sibling(self, on: Track, actor: int, _: str, pid: int) -> None:
        self._give(actor, pid, on)
        flags = CLONE_PTRACE | CLONE_PARENT | self.births.flags.get(pid, 0)
        on.call(x86_64.clone3, clone_args(pid, flags, 0, self._place), 88, why=f"sibling {pid}")

    def _give(self, actor: int, pid: int, on: Track) -> None:
        if self._program.gives(actor, pid):
            self._program.give(actor, pid, on)

    def _exit_signal(self, pid: int) -> int:
        """A helper ends without a word, but for what its siblings have from it."""
        task = self._tasks.get(pid)
        return max(task.exit_signal, 0) if task else self._of_siblings.get(pid, 0)

    def _sibling_signals(self) -> dict[int, int]:
        """The exit signals that helpers need: a clone by CLONE_PARENT has that of its maker, clone(2)."""
        needed: dict[int, int] = {}
        for op in reversed(self._ops):
            if op[1] == "fork_sibling" and op[0] not in self._tasks:
                task = self._tasks.get(op[2])
                needed.setdefault(op[0], max(task.exit_signal, 0) if task else needed.get(op[2], 0))
        return needed

    def _setsid(self, on: Track, actor: int, _: str) -> None:
        on.call(x86_64.setsid, why="a session of its own")

    def _setpgid(self, on: Track, actor: int, _: str, pid: int, pgid: int) -> None:
        on.call(x86_64.setpgid, pid, pgid, why=f"group {pgid}")

    def _subreaper(self, on: Track, actor: int, _: str, on_or_off: int) -> None:
        on.call(x86_64.prctl, _PR_SET_CHILD_SUBREAPER, on_or_off, 0, 0, 0, why="who gets orphans")

    def _ctty(self, on: Track, actor: int, _: str, terminal: int) -> None:
        on.call(
            x86_64.ioctl,
            self._fd(terminal),
            tty.TIOCSCTTY,
            0,
            why="controlling terminal, which controls no other",
        )

    def _noctty(self, on: Track, actor: int, _: str, terminal: int) -> None:
        on.call(x86_64.ioctl, self._fd(terminal), tty.TIOCNOTTY, 0, why="it has no controlling terminal")

    def _foreground(self, on: Track, actor: int, _: str, terminal: int, pgid: int) -> None:
        number = pgid.to_bytes(4, "little")
        on.call(x86_64.ioctl, self._fd(terminal), tty.TIOCSPGRP, number, why=f"foreground group {pgid}")

    def _wait(self, on: Track, actor: int, _: str, pid: int) -> None:
        on.call(x86_64.wait4, pid, 0, _WALL, 0, why=f"helper {pid} is gone")

    def _exit(self, on: Track, actor: int, _: str, code: int) -> None:
        task = self._tasks.get(actor)
        if task:
            self._dying(actor, on)
            _end(on, task)
        else:
            on.call(x86_64.exit_group, code, why="the helper has done its work")


def _end(on: Track, task: Task) -> None:
    """Die as the task died: with its exit code, or by its signal, without leaving a core."""
    on.call(x86_64.prctl, _PR_SET_NAME, os.fsencode(task.comm) + b"\0", 0, 0, 0, why="name")
    if task.exit_code & 0x7F:
        on.call(x86_64.setrlimit, _RLIMIT_CORE, bytes(16), why="no core")
        on.call(x86_64.rt_sigprocmask, _SIG_SETMASK, bytes(8), 0, 8, why="open to the signal")
        on.call(x86_64.kill, task.pid, task.exit_code & 0x7F, why="dead by this signal")
    on.call(x86_64.exit_group, task.exit_code >> 8, why="dead with this exit code")


def _prefix(queue: list[int], needs: list[list[int]], done: set[int]) -> list[int]:
    batch: list[int] = []
    mine: set[int] = set()
    for index in queue:
        if not all(n in done or n in mine for n in needs[index]):
            break
        batch.append(index)
        mine.add(index)
    return batch


def grow(program: Program, stubs: Stubs, restorer: Restorer, seed: int) -> Growth:
    """Make every process of the tree, in its session and group, dead ones dead.

    Who loads memory before it forks has entered its control groups then, which are charged with it.
    """
    growth = Growth(program, seed)
    for ready in growth.rounds():
        for actor, batch in ready.items():
            born = growth.born(batch)
            for pid in born:
                stubs.expect(pid)
            if growth.dies(batch):
                stubs.expect_end(actor)
            if any(program.gives(actor, pid) for pid in born):
                restorer.run(program.entering([actor]))
            stubs.start(actor or seed, growth.track(actor, batch))
        stubs.settle()
    return growth
