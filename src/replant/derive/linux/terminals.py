"""Controlling terminals as rules, and their place in a derivation: who has one, and which group is in its foreground.

A terminal is had by inheritance or, by the leader of a session, for the asking (TIOCSCTTY). So a leader takes it right
after its ``setsid``, before it creates anybody of its session; whoever of the session had none gives it up (TIOCNOTTY),
once everybody is born; and the leader names the foreground group when all groups are there, but before anybody dies. A
group that is gone, or a number that nobody bears, comes into being for that moment.

Sources: ioctl_tty(2), setsid(2), and drivers/tty/tty_jobctrl.c. The differential test runs the rules on the kernel.
"""

from __future__ import annotations

from ..rules import Condition, Refusal, Rule, simulate
from .rules import ALIVE, RULES, Tasks
from .target import Impossible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from .emit import Op
    from .process_tree import Derivation

WORDS = {
    "ctty": "the terminal of its session",
    "noctty": "it had none, unlike others of its session",
    "foreground": "the group that the terminal listens to",
}
_LATER = ("exit", "subreaper", "wait")  # a derivation has made all tasks and groups when the first of these comes


class Controlled(Tasks):
    """Tasks with terminals: ``tty`` by pid, ``session`` and ``front`` (the foreground group) by terminal."""

    __slots__ = ("front", "session", "tty")

    def __init__(self, init: int = 1, pgid: int = 1, sid: int = 1, groups: Iterable[int] = ()) -> None:
        super().__init__(init, pgid, sid, groups)
        self.tty: dict[int, int] = {}
        self.session: dict[int, int] = {}
        self.front: dict[int, int] = {}

    def give_up(self, actor: int) -> None:
        """A task loses its terminal, and if it leads the session so does everybody in it."""
        terminal = self.tty.pop(actor, None)
        if terminal is not None and self.sid[actor] == actor:
            self.tty = {pid: tty for pid, tty in self.tty.items() if tty != terminal}
            del self.session[terminal], self.front[terminal]


def _inherits(effect: Callable[..., None]) -> Callable[..., None]:
    def born(t: Controlled, actor: int, pid: int) -> None:
        effect(t, actor, pid)
        if actor in t.tty:
            t.tty[pid] = t.tty[actor]

    return born


def _loses(name: str) -> Callable[..., None]:
    def gone(t: Controlled, actor: int, *rest: int) -> None:
        t.give_up(actor)
        RULES[name].effect(t, actor, *rest)

    return gone


def _wait(t: Controlled, actor: int, pid: int) -> None:
    RULES["wait"].effect(t, actor, pid)
    t.tty.pop(pid, None)


def _ctty(t: Controlled, actor: int, tty: int) -> None:
    t.tty[actor], t.session[tty], t.front[tty] = tty, t.sid[actor], t.pgid[actor]


def _foreground(t: Controlled, _: int, tty: int, pgid: int) -> None:
    t.front[tty] = pgid


def _home(t: Controlled, pgid: int) -> int | None:
    """The session of a group; where there is no such group, of the task with that number, as the kernel has it."""
    return t.homes.get(pgid, t.sid.get(pgid))


HAS_IT = Condition("it is the actor's terminal", "ENOTTY", lambda t, a, tty, *_: t.tty.get(a) == tty)

TERMINAL_RULES = {
    **RULES,
    **{name: Rule(name, RULES[name].conditions, _inherits(RULES[name].effect)) for name in ("fork", "fork_sibling")},
    **{name: Rule(name, RULES[name].conditions, _loses(name)) for name in ("setsid", "exit")},
    "wait": Rule("wait", RULES["wait"].conditions, _wait),
    "ctty": Rule(
        "ctty",
        (
            ALIVE,
            Condition("the actor leads its session", "EPERM", lambda t, a, _: t.sid[a] == a),
            Condition("the actor has no terminal", "EPERM", lambda t, a, _: a not in t.tty),
            Condition("the terminal controls nobody", "EPERM", lambda t, _, tty: tty not in t.session),
        ),
        _ctty,
    ),
    "noctty": Rule("noctty", (ALIVE, HAS_IT), lambda t, actor, _: t.give_up(actor)),
    "foreground": Rule(
        "foreground",
        (
            ALIVE,
            HAS_IT,
            Condition("there is such a group or task", "ESRCH", lambda t, _a, _t, pgid: _home(t, pgid) is not None),
            Condition("it is in the actor's session", "EPERM", lambda t, a, _, pgid: _home(t, pgid) == t.sid[a]),
        ),
        _foreground,
    ),
}


def weave(found: Derivation, wanted: Mapping[int, tuple[int, int]]) -> None:
    """Put terminals into a derivation: ``wanted`` is, by pid, the terminal of each task that has one, and its front.

    The foreground group counts for leaders only; 0 is that of the leader. Terminals are any numbers.

    :raises Impossible: no sequence leads there; :raises Bug: if what was found does not.
    """
    woven = list(_woven(found.ops, wanted))
    tasks = Controlled(found.outside.pid, found.outside.pgid, found.outside.sid, found.outside.groups)
    try:
        simulate(tasks, TERMINAL_RULES, woven)
    except Refusal as refusal:
        actor, name = refusal.step[0], refusal.step[1]
        if name not in WORDS:
            raise
        why = f"task {actor} cannot have its terminal as it was: not so that {refusal.condition.says}"
        raise Impossible(why, [actor]) from None
    _compare(tasks, wanted)
    found.ops = woven


def _woven(ops: Iterable[Op], wanted: Mapping[int, tuple[int, int]]) -> Iterator[Op]:
    born: dict[int, int] = {}
    everybody = False
    for op in ops:
        actor, name = int(op[0]), op[1]
        if not everybody and name in _LATER:
            everybody = True
            yield from _settled(born, wanted)
        yield op
        if name in ("fork", "fork_sibling"):
            born[int(op[2])] = born.get(actor, 0)
        elif name == "setsid":
            born[actor] = actor
            if actor in wanted:
                yield actor, "ctty", wanted[actor][0]
    if not everybody:
        yield from _settled(born, wanted)


def _settled(session: Mapping[int, int], wanted: Mapping[int, tuple[int, int]]) -> Iterator[Op]:
    """Once everybody is there: who gives the terminal up, and the foreground groups. ``session``: by pid."""
    for pid, sid in session.items():
        if sid in wanted and pid not in wanted:
            yield pid, "noctty", wanted[sid][0]
    for pid, (tty, front) in wanted.items():
        if session.get(pid) == pid and front not in (0, pid):
            gone = front not in session
            if gone:
                yield pid, "fork", front
            yield pid, "foreground", tty, front
            if gone:
                yield front, "exit", 0
                yield pid, "wait", front


def _compare(tasks: Controlled, wanted: Mapping[int, tuple[int, int]]) -> None:
    for pid, (tty, front) in wanted.items():
        if tasks.tty.get(pid) != tty:
            why = f"task {pid} has a terminal, and the leader of its session is not there to have got it"
            raise Impossible(why, [pid])
        if tasks.sid[pid] == pid and front and tasks.front[tty] != front:
            raise Impossible(f"group {front} cannot be in the foreground of the terminal of session {pid}", [pid])
