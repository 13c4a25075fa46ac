"""What the user decides where a checkpoint has more than one right answer: named options with named choices.

The options stand here once; the command line takes its words from them, and kinds ask for a choice by name.
"""

from __future__ import annotations

from replant.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Choice:
    """An option: ``choices`` are the words it takes, none where it is a number of ``unit``; without it: ``default``."""

    __slots__ = ("choices", "default", "help", "name", "unit")

    def __init__(self, name: str, help: str, default: str, choices: tuple[str, ...] = (), unit: str = "") -> None:
        self.name = name
        self.help = help
        self.default = default
        self.choices = choices
        self.unit = unit

    @property
    def value(self) -> str:
        """What stands behind the option in a list of options."""
        return self.unit or "|".join(self.choices)

    def refuses(self, value: str) -> bool:
        """Whether ``value`` is none of the choices."""
        return value not in self.choices if self.choices else not value.isdecimal()


OPTIONS = (
    Choice(
        "locks",
        "locks of files are kept: nobody else takes them meanwhile",
        "a tree that holds one is refused",
        ("keep",),
    ),
    Choice(
        "outside",
        "a pipe that leads out of the tree is closed at the other side, or is the restorer's descriptor 0, 1 or 2",
        "a tree that has one is refused",
        ("close", "stdio"),
    ),
    Choice("unlinked-limit", "the largest deleted file to keep", "no limit", unit="BYTES"),
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
                raise UsageError(f"{name} takes {known[name].value}, not {value!r}", code="usage")

    def choice(self, option: str) -> str:
        """The user's choice for ``option``, ``""`` where there is none."""
        return self._choices.get(option, "")

    def __repr__(self) -> str:
        return f"Policy({self._choices!r})"


DEFAULT = Policy()
LOOKING = Policy({"locks": "keep", "outside": "close"})
"""For who only looks at a tree: what a dump would refuse for fear of losing it is no reason not to show it."""
