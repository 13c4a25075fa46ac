"""What the user decides where a checkpoint has more than one right answer: named options with named choices.

The options stand here once; the command line takes its words from them, and kinds ask for a choice by name.
"""

from __future__ import annotations

from replant.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


YES = "yes"


class Choice:
    """An option of ``"dump"``, of ``"restore"`` or of both (``at``); what happens without it is its ``default``.

    ``choices`` are the words it takes; where there are none it takes a ``unit``: BYTES (a number), or PATH.
    With neither it is a switch, and the choice is `YES`. An option with ``many`` may be given more than once: its
    choice is all of them, a line each.
    """

    __slots__ = ("at", "choices", "default", "help", "many", "name", "unit")

    def __init__(
        self,
        name: str,
        at: str,
        help: str,
        default: str,
        choices: tuple[str, ...] = (),
        unit: str = "",
        many: bool = False,
    ) -> None:
        self.name = name
        self.at = at
        self.help = help
        self.default = default
        self.choices = choices
        self.unit = unit
        self.many = many

    @property
    def value(self) -> str:
        """What stands behind the option in a list of options."""
        return self.unit or "|".join(self.choices)

    def refuses(self, value: str) -> bool:
        """Whether ``value`` is none of the choices."""
        return not all(map(self._takes, value.split("\n") if self.many else [value]))

    def _takes(self, value: str) -> bool:
        if self.choices or not self.unit:
            return value in (self.choices or (YES,))
        if self.unit == "OLD=NEW":
            old, _, new = value.partition("=")
            return old.startswith("/") and new.startswith("/")
        if self.unit == "ADDRESS=ADDRESS":
            return _is_mapping(*value.partition("=")[::2])
        if self.unit == "embed[:PATTERN]":
            return value == "embed" or value.startswith("embed:/")
        return self.unit != "BYTES" or value.isdecimal()


def _is_mapping(old: str, new: str) -> bool:
    """Whether these are two addresses of IP, of one family."""
    from _socket import AF_INET, AF_INET6, inet_pton

    family = AF_INET6 if ":" in old else AF_INET
    try:
        return all(inet_pton(family, address) for address in (old, new))
    except OSError:
        return False


OPTIONS = (
    Choice(
        "ipc",
        "dump",
        "leave what others use as well (System V IPC) as it is: it must still be there at the restore",
        "a tree that shares one is refused",
        ("leave",),
    ),
    Choice(
        "files",
        "dump",
        "put files that are open into the image; with a path or pattern those there, mapped ones too",
        "named files stay on the disk, where a restore must find them unchanged",
        unit="embed[:PATTERN]",
        many=True,
    ),
    Choice(
        "map-path",
        "restore",
        "look for OLD, and all that is below it, at NEW",
        "every file where it was",
        unit="OLD=NEW",
        many=True,
    ),
    Choice(
        "map-address",
        "restore",
        "give sockets another address of IP, as their own and as that of their peers",
        "every address as it was",
        unit="ADDRESS=ADDRESS",
        many=True,
    ),
    Choice(
        "locks",
        "dump",
        "keep locks of files, which nobody else takes meanwhile",
        "a tree that holds one is refused",
        ("keep",),
    ),
    Choice(
        "outside",
        "dump",
        "what becomes of a pipe that leads out: closed over there, or the restorer's 0, 1, 2",
        "a tree that has one is refused",
        ("close", "stdio"),
    ),
    Choice(
        "pending",
        "dump",
        "leave out connections that nobody has accepted, and packets or messages that nobody has read",
        "a socket with some is refused",
        ("skip",),
    ),
    Choice(
        "peer-credentials",
        "dump",
        "let a socket remember the restorer as its maker, who was no part of the tree (SO_PEERCRED)",
        "a tree that has one is refused",
        ("change",),
    ),
    Choice(
        "shared-memory",
        "dump",
        "give the tree a copy of memory that processes outside of it share",
        "a tree that has some is refused",
        ("copy",),
    ),
    Choice(
        "tcp-close",
        "dump restore",
        "TCP connections come back closed; listening sockets are not touched",
        "they live on",
    ),
    Choice(
        "cgroups",
        "restore",
        "control groups below this one, or to ignore: those of the caller",
        "the same, made again where they are missing",
        unit="PATH|ignore",
    ),
    Choice(
        "peers",
        "dump",
        "what becomes of a unix socket whose peer is outside: connected again by address, or closed over there",
        "a tree that has one is refused",
        ("reconnect", "close"),
    ),
    Choice(
        "uprobes",
        "dump",
        "keep instructions that probes of the kernel have replaced: the probes must be there at the restore",
        "a tree that has some is refused",
        ("keep",),
    ),
    Choice("unlinked-limit", "dump", "the largest deleted file to keep", "no limit", unit="BYTES"),
    Choice("terminal", "restore", "the terminal to give the tree; null for none", "that of the caller", unit="PATH"),
    Choice(
        "terminals",
        "restore",
        "give pseudo-terminals of the tree new numbers",
        "numbers as they were; refused where one is taken",
        ("renumber",),
    ),
    Choice(
        "clock",
        "restore",
        "let the monotonic clock of the tree go back, as after another boot",
        "a tree that has seen a later time is refused",
        ("back",),
    ),
)


class Policy:
    """A user's choices by option, for example ``Policy({"locks": "keep"})``; what is not named keeps its default.

    :raises UsageError: there is no such option, or no such choice.
    """

    __slots__ = ("_choices",)

    def __init__(self, choices: Mapping[str, str] | None = None) -> None:
        self._choices = dict(choices or {})
        known = {option.name: option for option in OPTIONS}
        for name, value in self._choices.items():
            if name not in known:
                raise UsageError(f"no option is named {name!r}", code="usage", hint=f"there are {', '.join(known)}")
            if known[name].refuses(value):
                raise UsageError(f"{name} takes {known[name].value or YES}, not {value!r}", code="usage")

    def choice(self, option: str) -> str:
        """The user's choice for ``option``, ``""`` where there is none."""
        return self._choices.get(option, "")

    def __repr__(self) -> str:
        return f"Policy({self._choices!r})"


DEFAULT = Policy()
LOOKING = Policy(
    {
        "ipc": "leave",
        "locks": "keep",
        "outside": "close",
        "peer-credentials": "change",
        "peers": "close",
        "pending": "skip",
        "shared-memory": "copy",
        "uprobes": "keep",
    }
)
"""For who only looks at a tree: what a dump would refuse for fear of losing it is no reason not to show it."""
