"""The label that a security module gives a task: AppArmor profile, SELinux context (``/proc/PID/attr``).

A label cannot be chosen for another task, and to change one's own needs a rule in the policy. So it is kept where the
restorer bears the same one, which its stubs inherit (as in a container, or under ``aa-exec``, ``runcon``), and refused
elsewhere; of several profiles at once (AppArmor's stacks, also in a policy namespace) all are told, and so compared.
Labels that a task has asked for what it makes next (exec, files, sockets, keys) are refused, and so is a socket whose
label is not that of its process: one made anew gets that.
"""

from __future__ import annotations

from replant.errors import Blocker
from replant.model.frozen import Frozen
from replant.resources.shared import labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Call, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
LIKE = ("cred_key",)
ASKS: tuple[Call, ...] = ()

_NEXT = ("exec", "fscreate", "sockcreate", "keycreate")


class State(Frozen):
    """As ``attr/current`` shows it."""

    label: str


def read(t: TaskFacts, answers: Sequence[Answer]) -> State | None:
    """None: no security module labels tasks. :raises Blocker: it has asked for a label of what it makes next."""
    if not labels.own():
        return None
    folder = f"{labels.PROC}/{t.pid}/task/{t.tid}/attr"
    for name in _NEXT:
        if label := labels.text(f"{folder}/{name}"):
            raise Blocker(
                f"task {t.tid} has asked for the label {label} ({name})",
                code="security-label",
                pid=t.tid,
                resource=f"attr/{name}",
                hint="let the program take that back, or dump it later",
            )
    return State(labels.text(f"{folder}/current"))


def check(state: State, tid: int) -> None:
    """:raises Blocker: the restorer bears another label."""
    if state.label != labels.own():
        raise Blocker(
            f"task {tid} had the security label {state.label}, and the restore has {labels.own() or 'none'}",
            code="security-label",
            pid=tid,
            resource="attr/current",
            hint="run the restore under that label: aa-exec -p PROFILE, or runcon CONTEXT",
        )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Nothing: stubs have the restorer's."""
