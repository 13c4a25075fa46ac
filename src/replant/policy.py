"""What the user decides where a checkpoint has more than one right answer: named options with named choices."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Policy:
    """A user's choices by option, for example ``Policy({"terminal": "null"})``; what is not named keeps its default."""

    __slots__ = ("_choices",)

    def __init__(self, choices: Mapping[str, str] | None = None) -> None:
        self._choices = dict(choices or {})

    def choice(self, option: str) -> str:
        """The user's choice for ``option``, ``""`` where there is none."""
        return self._choices.get(option, "")

    def __repr__(self) -> str:
        return f"Policy({self._choices!r})"


DEFAULT = Policy()
