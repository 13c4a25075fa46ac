"""Keys that a thread has through its session keyring, keyrings(7): refused, as no key comes back with its number.

A session keyring that holds nothing but those of the user, as pam_keyinit(8) makes one for each login, is as good as
that of whoever restores, which is what a restored thread has.
"""

from __future__ import annotations

from errno import EACCES, EKEYEXPIRED, EKEYREVOKED, ENOKEY, ENOSYS, EOPNOTSUPP, EPERM

from replant.abi import x86_64 as nr
from replant.abi.call import Call, Out
from replant.errors import Blocker, Bug
from replant.model.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.abi.call import Answer, Track
    from replant.resources.protocol import RestoreSide, TaskFacts

VERSION = 1
SCOPE = "thread"
USES: tuple[str, ...] = ()
SPOILS: tuple[str, ...] = ()
SETS: tuple[str, ...] = ()
LIKE = ("cred_key",)

_GET_KEYRING_ID, _READ = 0, 11
_SESSION, _USER, _USER_SESSION = -3, -4, -5
_ROOM = 64  # bytes: more numbers of keys than the user's own keyrings are
_NONE = (EACCES, EKEYEXPIRED, EKEYREVOKED, ENOKEY, ENOSYS, EOPNOTSUPP, EPERM)
ASKS = (
    Call(nr.keyctl, _READ, _SESSION, Out(_ROOM), _ROOM, why="keys of the session", ok=_NONE),
    Call(nr.keyctl, _GET_KEYRING_ID, _USER, 0, why="keyring of the user", ok=_NONE),
    Call(nr.keyctl, _GET_KEYRING_ID, _USER_SESSION, 0, why="session keyring of the user", ok=_NONE),
)


class State(Frozen):
    """There is none: what would be kept is refused."""


def read(t: TaskFacts, answers: Sequence[Answer]) -> None:
    """None: it has no keys of its own there.

    :raises Blocker: it has.
    """
    held, *users = answers
    room = held.outs[0][: max(held.ret, 0)]
    keys = {int.from_bytes(room[at : at + 4], "little") for at in range(0, len(room), 4)}
    if keys - {answer.ret for answer in users}:
        raise Blocker(
            "its session keyring holds keys, which cannot be kept",
            code="keyring",
            pid=t.tid,
            resource="a session keyring",
            hint="unlink them before the dump (keyctl clear @s), or run the program without",
        )


def make(state: State, tid: int, on: Track, restore: RestoreSide) -> None:
    """Never called: no State is ever kept."""
    raise Bug("a session keyring in an image", pid=tid)
