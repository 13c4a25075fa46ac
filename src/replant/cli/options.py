"""Options of a command, declared once: the parser, ``--help`` and the check of the documentation all read them.

argparse costs 5 ms to import, a third of a whole small dump; this is what is needed of it.
"""

from __future__ import annotations

import os

from replant.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.policy import Policy


class Option:
    """``names`` as typed (``-o --output``); ``value`` names the argument it takes, ``""`` for a switch."""

    __slots__ = ("choices", "help", "names", "value")

    def __init__(self, names: str, help: str, *, value: str = "", choices: Sequence[str] = ()) -> None:
        self.names = tuple(names.split())
        self.help = help
        self.value = value
        self.choices = tuple(choices)

    @property
    def key(self) -> str:
        """The name it is asked for by: the last one, without dashes."""
        return self.names[-1].lstrip("-")


class Argument:
    """A positional word; ``need`` is ``"one"``, ``"optional"`` or ``"many"`` (any number of them)."""

    __slots__ = ("help", "name", "need")

    def __init__(self, name: str, help: str, need: str = "one") -> None:
        self.name = name
        self.help = help
        self.need = need

    def __str__(self) -> str:
        return {"one": "{}", "optional": "[{}]", "many": "[{}...]"}[self.need].format(self.name)


JSON = Option("--json", "print one JSON document on standard output, and nothing else there")
VERBOSE = Option("-v --verbose", "say more on standard error")
HELP = Option("-h --help", "show this text")
COMMON = (JSON, VERBOSE, HELP)


class Command:
    """A command: its name, one line of what it does, its words, and a longer text for ``--help``."""

    __slots__ = ("arguments", "name", "options", "summary", "text")

    def __init__(
        self,
        name: str,
        summary: str,
        arguments: Sequence[Argument] = (),
        options: Sequence[Option] = (),
        text: str = "",
    ) -> None:
        self.name = name
        self.summary = summary
        self.arguments = tuple(arguments)
        self.options = (*options, *COMMON)
        self.text = text

    def find(self, typed: str) -> Option:
        """The option of that name. :raises UsageError: if there is none."""
        for option in self.options:
            if typed in option.names:
                return option
        raise self.wrong(f"unknown option {typed}")

    def wrong(self, message: str) -> UsageError:
        """The error for wrong words, pointing to the help of this command."""
        hint = f"'replant {self.name} --help' lists what it takes"
        return UsageError(f"{self.name}: {message}", code="usage", hint=hint)


def policy_options(*at: str) -> list[Option]:
    """The options of `replant.policy` that decide something ``at`` a ``"dump"`` or a ``"restore"``."""
    from replant.policy import OPTIONS

    return [Option(f"--{o.name}", o.help, value=o.value, choices=o.choices) for o in OPTIONS if {*at} & {*o.at.split()}]


class HelpWanted(Exception):
    """``--help`` was given; the message is the text."""


class Words:
    """What was typed, sorted into options and arguments."""

    __slots__ = ("_arguments", "_command", "_options")

    def __init__(self, command: Command) -> None:
        self._command = command
        self._options: dict[str, list[str]] = {}
        self._arguments: dict[str, list[str]] = {}

    def flag(self, key: str) -> bool:
        """Whether a switch was given."""
        return key in self._options

    def text(self, key: str, default: str = "") -> str:
        """The value of an option, the last one if it was given more than once."""
        return self._options.get(key, [default])[-1]

    def texts(self, key: str) -> list[str]:
        """All values of an option that may be repeated."""
        return self._options.get(key, [])

    def number(self, key: str) -> int | None:
        """The value of an option as a number, None if not given. :raises UsageError: if it is none."""
        typed = self.text(key)
        if not typed:
            return None
        if not typed.isdecimal():
            raise self._command.wrong(f"--{key} wants a number, not {typed!r}")
        return int(typed)

    def argument(self, name: str) -> str:
        """A positional word; ``""`` for an optional one that was not given."""
        return (self._arguments.get(name) or [""])[0]

    def arguments(self, name: str) -> list[str]:
        """All words of an argument that takes many."""
        return self._arguments.get(name, [])

    def pid(self, name: str) -> int:
        """A positional word as a process id. :raises UsageError: if it is none."""
        typed = self.argument(name)
        if not is_pid(typed):
            raise self._command.wrong(f"{name} must be the number of a process, not {typed!r}")
        return int(typed)

    def policy(self) -> Policy:
        """The choices among the options of `replant.policy`. :raises UsageError: one is no choice."""
        from replant.policy import OPTIONS, YES, Policy

        typed = {o.name: "\n".join(self.texts(o.name)) if o.many else self.text(o.name) for o in OPTIONS}
        return Policy({name: choice or YES for name, choice in typed.items() if self.flag(name)})

    def target(self, name: str) -> int | str:
        """A positional word that is a process id or else the path of an image."""
        typed = self.argument(name)
        return int(typed) if is_pid(typed) else typed


def key_file(words: Words) -> None:
    """Take the file of ``--key-file``; the other commands have the variable alone."""
    if words.flag("key-file"):
        os.environ["REPLANT_KEY_FILE"] = os.path.abspath(words.text("key-file"))


def is_pid(typed: str) -> bool:
    """Whether a word is a process id: a number that is not also the name of something here."""
    return typed.isascii() and typed.isdecimal() and 0 < int(typed) <= 1 << 22


def parse(command: Command, argv: Sequence[str]) -> Words:
    """Sort the words of a command line; options may stand anywhere before ``--``.

    :raises UsageError: for unknown, missing or surplus words.
    :raises HelpWanted: for ``--help``.
    """
    words = Words(command)
    rest = iter(argv)
    plain: list[str] = []
    for word in rest:
        if word == "--":
            plain.extend(rest)
        elif word.startswith("-") and word != "-":
            _option(command, word, rest, words)
        else:
            plain.append(word)
    _arguments(command, plain, words)
    return words


def _option(command: Command, word: str, rest: Iterator[str], words: Words) -> None:
    typed, has_value, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
    option = command.find(typed)
    if option is HELP:
        raise HelpWanted(usage(command))
    if not option.value and has_value:
        raise command.wrong(f"{typed} takes no value")
    if option.value and not has_value:
        value = next(rest, "")
        if not value:
            raise command.wrong(f"{typed} wants a {option.value}")
    if option.choices and value not in option.choices:
        raise command.wrong(f"{typed} is one of {', '.join(option.choices)}, not {value!r}")
    words._options.setdefault(option.key, []).append(value)


def _arguments(command: Command, plain: list[str], words: Words) -> None:
    for argument in command.arguments:
        if argument.need == "many":
            words._arguments[argument.name], plain = plain, []
        elif plain:
            words._arguments[argument.name] = [plain.pop(0)]
        elif argument.need == "one":
            raise command.wrong(f"{argument.name} is missing")
    if plain:
        raise command.wrong(f"one word too many: {plain[0]!r}")


def usage(command: Command) -> str:
    """The text of ``--help``."""
    line = " ".join(["replant", command.name, "[options]", *map(str, command.arguments)])
    parts = [f"Usage: {line}\n\n{command.summary}"]
    if command.text:
        parts.append(command.text.strip())
    if command.arguments:
        parts.append("Arguments:\n" + _columns([(a.name, a.help) for a in command.arguments]))
    parts.append("Options:\n" + _columns([(_names(o), o.help) for o in command.options]))
    return "\n\n".join(parts) + "\n"


def _names(option: Option) -> str:
    names = ", ".join(option.names)
    if not names.startswith("--"):
        return f"{names} {option.value}".rstrip()
    return f"    {names} {option.value}".rstrip()


def _columns(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(left) for left, _ in rows)
    return "\n".join(f"  {left:<{width}}  {right}" for left, right in rows)
