"""Read the journal of a dump or a restore."""

from __future__ import annotations

from replant.cli.options import Argument, Command, Option, parse
from replant.errors import ReplantError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Sequence

    from replant.cli.options import Words
    from replant.journal.events import Event
    from replant.journal.reader import Reader
    from replant.journal.render import Renderer
    from replant.journal.select import Selection

LEVELS = ("debug", "info", "warning", "error")
COMMAND = Command(
    "log",
    "Read the journal of a dump or a restore: what was done, decided and answered.",
    [Argument("IMAGE", "an image, or a journal file")],
    [
        Option("--why", "from the failure back to its cause, in ten lines, with what to try"),
        Option("--level", "leave out what is less important", value="LEVEL", choices=LEVELS),
        Option("--pid", "events about this task, or written by it (may be repeated)", value="PID"),
        Option("--kind", "events of this kind, such as phase or failure (may be repeated)", value="KIND"),
        Option("--call", "system calls of this name (may be repeated)", value="NAME"),
        Option("--error", "system calls that failed so: ENOENT, 2, or any (may be repeated)", value="ERROR"),
        Option("--phase", "only while this phase ran", value="NAME"),
        Option("--since", "from this time on: seconds from the start", value="SECONDS"),
        Option("--until", "up to this time", value="SECONDS"),
        Option("--grep", "lines that match this regular expression", value="PATTERN"),
        Option(
            "--format",
            "how to print it; perfetto is a trace for ui.perfetto.dev",
            value="FORMAT",
            choices=("text", "json", "perfetto"),
        ),
        Option("-f --follow", "go on while the journal is written"),
    ],
    text="Without --level, system calls and other details (debug) are left out unless --call or --error asks for them.",
)


def main(argv: Sequence[str]) -> int:
    """``replant log``: prints, 0; 1 when the journal cannot be read, or not to its end."""
    words = parse(COMMAND, argv)

    from replant.journal.events import Damaged
    from replant.journal.reader import Reader

    path = journal_path(words.argument("IMAGE"))
    try:
        with Reader(path) as reader:
            return _print(words, reader)
    except OSError as error:
        raise ReplantError(
            f"no journal can be read at {path}: {error.strerror}",
            code="no-journal",
            resource=path,
            hint="name an image, or the file of a journal",
        ) from error
    except Damaged as error:
        raise ReplantError(
            f"the journal cannot be trusted any further: {error}",
            code=error.code,
            resource=path,
            hint="what was printed before this is true; take a copy of the file that is whole",
        ) from error


def journal_path(target: str) -> str:
    """The journal's file, of an image or as it was named."""
    import os

    return os.path.join(target, "journal") if os.path.isdir(target) else target


def _print(words: Words, reader: Reader) -> int:
    from replant.abi import names
    from replant.cli.output import lines, say
    from replant.journal.render import Renderer

    renderer = Renderer(reader.header, names)
    if words.flag("why"):
        from replant.journal.why import why

        lines(why(reader, renderer))
        return 0
    selection = _selection(words, reader)
    form = "json" if words.flag("json") else words.text("format", "text")
    if form == "text":
        lines(line for event in _events(words, reader, selection) for line in selection.lines(event, renderer))
        for loss in reader.losses():
            say(loss)
    else:
        _export(form, reader, _matching(_events(words, reader, selection), selection, renderer), renderer)
    return 0


def _export(form: str, reader: Reader, events: Iterable[Event], renderer: Renderer) -> None:
    import sys

    from replant.journal.export import as_json, as_trace

    for piece in (as_json if form == "json" else as_trace)(reader, events, renderer):
        sys.stdout.write(piece)


def _events(words: Words, reader: Reader, selection: Selection) -> Iterable[Event]:
    """The selected events, and with ``--follow`` those that come."""
    if not words.flag("follow"):
        return selection.events(reader)
    from replant.journal.follow import Follower

    return filter(selection.concerns, Follower(reader, selection.wanted).events())


def _matching(events: Iterable[Event], selection: Selection, renderer: Renderer) -> Iterable[Event]:
    """Events with a line that is selected."""
    if not (selection.grep or selection.calls or selection.errors):
        return events
    return (event for event in events if selection.lines(event, renderer))


def _selection(words: Words, reader: Reader) -> Selection:
    from replant.journal.select import Selection

    usual = "info" if words.text("format", "text") == "text" and not words.flag("json") else "debug"
    since, until = _times(words, reader)
    return Selection(
        level=10 * (1 + LEVELS.index(words.text("level", usual))),
        pids=[_number(word) for word in words.texts("pid")],
        kinds=words.texts("kind"),
        calls=words.texts("call"),
        errors=[_error(word) for word in words.texts("error")],
        grep=_pattern(words.text("grep")),
        since=since,
        until=until,
    )


def _times(words: Words, reader: Reader) -> tuple[int, int]:
    """CLOCK_MONOTONIC ns from and until which events count."""
    since, until = 0, 1 << 64
    if name := words.text("phase"):
        from replant.journal.select import phase

        since, until = phase(reader, name) or (until, until)
    start = reader.header.monotonic
    if typed := words.text("since"):
        since = max(since, start + _seconds(typed))
    if typed := words.text("until"):
        until = min(until, start + _seconds(typed))
    return since, until


def _seconds(typed: str) -> int:
    try:
        return int(float(typed) * 1e9)
    except (ValueError, OverflowError):
        raise COMMAND.wrong(f"{typed!r} is no number of seconds") from None


def _number(typed: str) -> int:
    if not typed.isdecimal():
        raise COMMAND.wrong(f"{typed!r} is no pid")
    return int(typed)


def _error(typed: str) -> int:
    """An error number by number or name; 0 for any."""
    import errno

    if typed == "any":
        return 0
    number = int(typed) if typed.isdecimal() else getattr(errno, typed.upper(), None)
    if not isinstance(number, int):
        raise COMMAND.wrong(f"{typed!r} is no error: name one as ENOENT or 2, or say any")
    return number


def _pattern(typed: str) -> re.Pattern[str] | None:
    if not typed:
        return None
    import re

    try:
        return re.compile(typed)
    except re.error as error:
        raise COMMAND.wrong(f"--grep {typed!r} is no regular expression: {error}") from None
