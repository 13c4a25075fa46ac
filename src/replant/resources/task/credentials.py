"""User and group ids, capabilities, secure bits and no_new_privs of a thread: credentials(7), capabilities(7).

The order that reaches any credentials from user 0 with all capabilities, each step needing what later ones take away:

1. secure bits such that changing ids changes no capability;
2. supplementary groups, group ids, user ids (CAP_SETGID, CAP_SETUID); the filesystem ids after the others, as these
   set them too;
3. the inheritable set, while the bounding set still allows all; with it the permitted one, plus CAP_SETPCAP;
4. ambient capabilities, each of which must be permitted and inheritable, before a secure bit forbids to raise them;
5. the bounding set and the secure bits to keep (CAP_SETPCAP);
6. no_new_privs, and last the sets as they are to be, CAP_SETPCAP gone.

A change of an effective or filesystem id makes the process undumpable (as ``fs.suid_dumpable`` says) and clears the
parent-death signal. The filesystem user is first set to another one, so that this happens in any case and the
dumpable state afterwards does not depend on which ids they are.
"""

from __future__ import annotations

from struct import pack

from replant.abi import capability as cap
from replant.abi import x86_64 as nr
from replant.abi.call import Call
from replant.abi.libc import syscall
from replant.abi.prctl import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_CAPBSET_READ,
    PR_GET_SECUREBITS,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_SECUREBITS,
)
from replant.errors import Blocker
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
DEAD = True
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS = ("privilege", "dumpable", "pdeathsig")
SETS: tuple[str, ...] = ()
LIKE = ("cred_key", "atomic_flags")
ASKS = (Call(nr.prctl, PR_GET_SECUREBITS, why="secure bits"),)


class State(Frozen):
    """``uids`` and ``gids`` are real, effective, saved, filesystem; capability sets are masks, bit N is number N."""

    uids: tuple[int, int, int, int]
    gids: tuple[int, int, int, int]
    groups: tuple[int, ...]
    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int
    securebits: int
    no_new_privs: bool


def read(t: TaskFacts, answers: Sequence[Answer]) -> State:
    """Always kept: a clone has those of its cloner. Of the dead the secure bits are not told, nor do they matter."""
    s = t.status
    sets = (s.cap_inheritable, s.cap_permitted, s.cap_effective, s.cap_bounding, s.cap_ambient)
    return State(s.uids, s.gids, s.groups, *sets, answers[0].ret if answers else 0, s.no_new_privs)


def check(state: State, tid: int) -> None:
    """Capabilities can be dropped, never gained.

    :raises Blocker: the restorer lacks some that the thread had.
    """
    permitted, bounding = _ours()
    missing = state.permitted & ~permitted | state.bounding & ~bounding
    if missing:
        raise Blocker(
            f"thread {tid} has capabilities that cannot be given: {cap.names(missing)}",
            code="no-capability",
            pid=tid,
            resource="capabilities",
            hint="run the restore with these capabilities, in the bounding set too",
        )


_memo: list[tuple[int, int]] = []


def _ours() -> tuple[int, int]:
    """Permitted and bounding set of the restorer; they do not change while it runs."""
    if not _memo:
        data = bytearray(cap.SIZE)
        syscall(nr.capget, cap.SELF, data)
        numbers = [n for n in range(cap.CAP_LAST + 1) if syscall(nr.prctl, PR_CAPBSET_READ, n) == 1]
        _memo.append((cap.unpack(data)[1], sum(1 << n for n in numbers)))
    return _memo[0]


_programs: dict[State, list[Call]] = {}


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """From user 0 to the saved ones; threads with the same credentials share the calls."""
    calls = _programs.get(state)
    if calls is None:
        calls = _programs[state] = _program(state)
    on.calls += calls


def _program(state: State) -> list[Call]:
    """See the module's text for the order."""
    dropped = cap.numbers(~state.bounding & (1 << cap.CAP_LAST + 1) - 1)
    no_new_privs = [_prctl(PR_SET_NO_NEW_PRIVS, 1, why="no new privileges")] if state.no_new_privs else []
    keep = cap.SECBIT_KEEP_CAPS | cap.SECBIT_NO_SETUID_FIXUP
    return [
        _prctl(PR_SET_SECUREBITS, keep, why="changing ids keeps capabilities"),
        *_ids(state),
        _capset(state, 1 << cap.CAP_SETPCAP),
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, why="ambient capabilities of the restorer"),
        *[_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, n, why="ambient set") for n in cap.numbers(state.ambient)],
        *[_prctl(PR_CAPBSET_DROP, n, why="bounding set") for n in dropped],
        _prctl(PR_SET_SECUREBITS, state.securebits, why="secure bits"),
        *no_new_privs,
        _capset(state, 0),
    ]


def _ids(state: State) -> list[Call]:
    groups = pack(f"<{len(state.groups)}I", *state.groups)
    return [
        Call(nr.setgroups, len(state.groups), groups, why="supplementary groups"),
        Call(nr.setfsuid, state.uids[3] ^ 1, why="a change for certain: dumpable as fs.suid_dumpable says"),
        Call(nr.setresgid, *state.gids[:3], why="group ids"),
        Call(nr.setfsgid, state.gids[3], why="filesystem group"),
        Call(nr.setresuid, *state.uids[:3], why="user ids"),
        Call(nr.setfsuid, state.uids[3], why="filesystem user"),
    ]


def _capset(state: State, also: int) -> Call:
    data = cap.pack(state.effective | also, state.permitted | also, state.inheritable)
    return Call(nr.capset, cap.SELF, data, why="capabilities")


def _prctl(option: int, *args: int, why: str) -> Call:
    return Call(nr.prctl, option, *args, *(0,) * (4 - len(args)), why=why)
