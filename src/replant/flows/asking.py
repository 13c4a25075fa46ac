"""What only a thread itself can tell: the questions of all kinds, run inside it in one batch, and their answers read.

What every thread is asked is encoded once and only written into each; what kinds ask depending on the facts (the
timers that there are) follows in a second batch, where there is any. While the answers of one thread are read, the
next thread of the process is at its questions already. Of threads that are all alike (`flows.alike`) one is asked.
"""

from __future__ import annotations

from replant.abi import x86_64
from replant.abi.call import Call, Out
from replant.errors import Blocker
from replant.flows.alike import Alike
from replant.model.tree import Attribute
from replant.resources import registry
from replant.tracee.questions import Questions
from replant.tracee.visit import refuse_strangers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from replant.abi.call import Answer
    from replant.flows.alike import Told
    from replant.flows.threads import ThreadView
    from replant.model.frozen import Frozen
    from replant.resources.protocol import TaskKind
    from replant.tracee.remote import Inside
    from replant.tracee.task import FrozenThread

_PR_GET_CHILD_SUBREAPER = 37
_SUBREAPER = Call(x86_64.prctl, _PR_GET_CHILD_SUBREAPER, Out(4), why="whether it gets orphans")
_P_PID = 1
_LOOK = 0x1000003  # WNOWAIT, WSTOPPED, WNOHANG


class Asker:
    """The questions to leaders and to other threads; made before anything is frozen."""

    def __init__(self) -> None:
        kinds = registry.task_kinds()
        of_threads = {name: kind for name, kind in kinds.items() if kind.SCOPE == "thread"}
        self._leader, self._thread = _Sheet(kinds), _Sheet(of_threads)
        self._alike = Alike(of_threads)

    @property
    def first(self) -> Questions:
        """What the leader of a process is asked first."""
        return self._leader.questions

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of `replant.observe.facts.Task` that would tell which threads need not be asked."""
        return self._alike.all_fields

    def ask(
        self, view: ThreadView, inside: Inside, then: FrozenThread | None, told: Told, blockers: list[Blocker]
    ) -> Iterator[Attribute]:
        """The attributes of a thread; what cannot be kept is added to ``blockers``. ``then`` is asked next.

        ``told``: the values of fields of a thread, None where one is not known.
        :raises Blocker: nothing can be run in it.
        """
        known = None if view.leader else self._alike.states(view.pid, view.tid, told)
        if known is not None:
            yield from self._like_another(view, inside, then, told, blockers, known)
            return
        sheet, refused = self._leader if view.leader else self._thread, len(blockers)
        answers = inside.ask(view.thread, sheet.questions)
        view.subreaper = bool(int.from_bytes(answers[0].outs[0], "little"))
        more = _further(sheet, view, inside, blockers)
        self._ahead(view, inside, then, told)

        def read(name: str, kind: TaskKind, first: int, last: int) -> Frozen | None:
            return kind.read(view, answers[first:last] + more[name] if name in more else answers[first:last])

        found = [*sheet.attributes(view.tid, read, blockers)]
        if not view.leader and len(blockers) == refused:
            self._alike.remember(view.pid, view.tid, told, found)
        yield from found

    def _like_another(
        self,
        view: ThreadView,
        inside: Inside,
        then: FrozenThread | None,
        told: Told,
        blockers: list[Blocker],
        known: dict[str, Frozen | None],
    ) -> Iterator[Attribute]:
        """As `ask`, without a visit, unless the facts of this thread lead to a question. :raises Blocker:"""
        refuse_strangers(view.thread)
        more = _further(self._thread, view, inside, blockers)
        self._ahead(view, inside, then, told)

        def read(name: str, kind: TaskKind, first: int, last: int) -> Frozen | None:
            return known[name] if name in known else kind.read(view, more.get(name, []))

        return self._thread.attributes(view.tid, read, blockers)

    def _ahead(self, view: ThreadView, inside: Inside, then: FrozenThread | None, told: Told) -> None:
        if then is None or (not view.leader and self._alike.are(view.pid, view.tid, then.tid, told)):
            return
        try:
            inside.start(then, self._thread.questions)
        except Blocker:
            pass  # raised again, and told, when the thread is asked


def told_of(stopped: Sequence[int], parent: FrozenThread, inside: Inside) -> Iterator[int]:
    """Those of its stopped children of whose stop a parent knows: wait(2) tells of each stop once."""
    if stopped:
        calls = [Call(x86_64.waitid, _P_PID, pid, Out(128), _LOOK, 0, why="news of a stop") for pid in stopped]
        for pid, answer in zip(stopped, inside.ask(parent, calls), strict=True):
            if not any(answer.outs[0]):
                yield pid


class _Sheet:
    """All static questions in a row, which answers are whose, and who may have more to ask."""

    def __init__(self, kinds: dict[str, TaskKind]) -> None:
        calls = [_SUBREAPER]
        self.rows = []
        for name, kind in kinds.items():
            first = len(calls)
            calls += kind.ASKS
            self.rows.append((name, kind, first, len(calls)))
        self.more = [(name, kind.ask) for name, kind in kinds.items() if hasattr(kind, "ask")]
        self.questions = Questions(calls, why="what only a thread itself can tell")

    def attributes(
        self, tid: int, read: Callable[[str, TaskKind, int, int], Frozen | None], blockers: list[Blocker]
    ) -> Iterator[Attribute]:
        """What ``read`` makes of each kind and the place of its answers."""
        for row in self.rows:
            try:
                state = read(*row)
            except Blocker as b:
                blockers.append(b)
                continue
            if state is not None:
                yield Attribute(row[0], tid, state)


def _further(sheet: _Sheet, view: ThreadView, inside: Inside, blockers: list[Blocker]) -> dict[str, list[Answer]]:
    """The answers, by kind, to what kinds ask in view of the facts."""
    calls: list[Call] = []
    parts = {}
    for name, more in sheet.more:
        try:
            own = more(view)
        except Blocker as b:
            blockers.append(b)
            continue
        if own:
            parts[name] = len(calls), len(calls) + len(own)
            calls += own
    answers = inside.ask(view.thread, calls) if calls else []
    return {name: answers[first:last] for name, (first, last) in parts.items()}
