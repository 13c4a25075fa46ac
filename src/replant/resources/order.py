"""The order in which a process and its threads become what they were: derived from what each kind declares.

The words of ``USES``, ``SPOILS`` and ``SETS`` are the whole knowledge (`replant.resources.task` lists them). From them
come steps of the leader and of one thread that stands for all others, with facts of the process or of each of the two;
`replant.derive.sequence` orders them, and every order is run on the facts before it is used. What the program does
itself (memory, threads) is a `Given` step in the same order. One order of all kinds serves every process: leaving out
a step takes away what others wait for, and adds nothing.
"""

from __future__ import annotations

from replant.derive.sequence import Blocked, Step, arrange, run
from replant.errors import Bug
from replant.resources import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from replant.derive.sequence import Edges, Fact
    from replant.resources.protocol import TaskKind

    Declared = Mapping[str, "TaskKind | Given"]

LEADER, THREAD = "leader", "thread"


class Given:
    """A step that is no kind; ``GIVES`` are the words that it makes true for whoever uses them."""

    def __init__(
        self,
        *,
        gives: tuple[str, ...] = (),
        uses: tuple[str, ...] = (),
        spoils: tuple[str, ...] = (),
        scope: str = "process",
    ) -> None:
        self.GIVES, self.USES, self.SPOILS, self.SETS, self.SCOPE = gives, uses, spoils, (), scope


class Order:
    """``leader`` and ``thread``: the names of the steps that each does, in order.

    ``late`` are those of the leader that wait for a step of a thread: where there are threads, it does them when all
    threads have done theirs, and ``early`` the others.
    """

    __slots__ = ("_edges", "_steps", "early", "late", "leader", "thread")

    def __init__(self, steps: list[Step], order: list[int], edges: Edges) -> None:
        self._steps, self._edges = steps, edges
        of = {who: [i for i in order if steps[i].op[0] == who] for who in (LEADER, THREAD)}
        waiting = set(of[THREAD])
        for i in order:
            if not waiting.isdisjoint(edges[i]):
                waiting.add(i)
        self.leader, self.thread = (tuple(str(steps[i].op[1]) for i in of[who]) for who in (LEADER, THREAD))
        self.early = tuple(str(steps[i].op[1]) for i in of[LEADER] if i not in waiting)
        self.late = tuple(str(steps[i].op[1]) for i in of[LEADER] if i in waiting)

    def waits(self, name: str, who: str = LEADER) -> Iterator[tuple[str, str, str]]:
        """What a step waits for: who does that, its name, and the word that is the reason."""
        index = next(i for i, step in enumerate(self._steps) if step.op == (who, name))
        for earlier, word in sorted(self._edges[index].items()):
            actor, other = self._steps[earlier].op
            yield str(actor), str(other), str(word)


def arranged(declared: Declared, holds: Iterable[str], of_a_thread: frozenset[str]) -> Order:
    """The order of all steps, ties as they are declared.

    ``holds``: the words that are true from the beginning. ``of_a_thread``: those that say something of one thread, so
    that what another thread does never spoils them.

    :raises Bug: nothing gives a word that is used, or steps wait for each other.
    """
    actors = [(who, name, kind) for who in (LEADER, THREAD) for name, kind in declared.items() if _does(who, kind)]
    spoilers: dict[Fact, list[Fact]] = {}
    steps = []
    for who, name, kind in actors:
        spoils = [_fact(word, who, of_a_thread) for word in kind.SPOILS]
        gives: list[Fact] = [(word,) for word in kind.GIVES] if isinstance(kind, Given) else []
        for fact in spoils:
            gives.append((fact, who, name))
            spoilers.setdefault(fact, []).append(gives[-1])
        steps.append(Step((who, name), (), gives, spoils))
    for step, (who, _, kind) in zip(steps, actors, strict=True):
        needs = [(_fact(word, who, of_a_thread), word) for word in kind.USES]
        for word in kind.SETS:
            needs += [(spoiled, word) for spoiled in spoilers.get(_fact(word, who, of_a_thread), ())]
        step.needs = (*needs, _BORN) if who == THREAD else tuple(needs)
    return _checked(steps, {_fact(word, who, of_a_thread) for word in holds for who in (LEADER, THREAD)})


_BORN: tuple[Fact, str] = (("threads",), "threads")


def _fact(word: str, who: str, of_a_thread: frozenset[str]) -> Fact:
    return (word, who) if word in of_a_thread else (word,)


def levels(kinds: Mapping[str, object], hook: str) -> dict[str, int]:
    """How many others a hook of a kind of file has to wait for, one after the other.

    :raises Bug: kinds wait for each other.
    """
    gives = {name: _declared(kind, "GIVES", hook, files.USUAL_GIVES) for name, kind in kinds.items()}
    givers = {word: [name for name in kinds if word in gives[name]] for word in files.WORDS}
    steps = [
        Step(
            (name,),
            [((word, by), word) for word in _declared(kind, "USES", hook, files.USUAL_USES) for by in givers[word]],
            [(word, name) for word in gives[name]],
        )
        for name, kind in kinds.items()
    ]
    try:
        order, edges = arrange(steps)
    except Blocked as blocked:
        raise Bug(f"kinds of files have no order in {hook}: {blocked}") from None
    run(steps[i] for i in order)
    depth: dict[int, int] = {}
    for i in order:
        depth[i] = 1 + max((depth[j] for j in edges[i]), default=-1)
    return {name: depth[i] for i, name in enumerate(kinds)}


def _declared(kind: object, which: str, hook: str, usual: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    words: Mapping[str, tuple[str, ...]] = getattr(kind, which, usual)
    return words.get(hook, usual[hook])


def _does(who: str, kind: TaskKind | Given) -> bool:
    return who == LEADER or kind.SCOPE == THREAD


def _checked(steps: list[Step], holds: set[Fact]) -> Order:
    try:
        found = Order(steps, *arrange(steps, holds))
    except Blocked as blocked:
        raise Bug(f"steps of a restore have no order, for {sorted(map(str, blocked.reasons))}: {blocked}") from None
    by_op = {step.op: step for step in steps}
    parts = ((LEADER, found.early), (THREAD, found.thread), (LEADER, found.late))
    run([by_op[who, name] for who, names in parts for name in names], holds)
    return found
