"""Save a process tree as an image."""

from __future__ import annotations

from replant._load import together
from replant.cli.options import Argument, Command, Option, key_file, parse, policy_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.cli.options import Words
    from replant.flows.dump import DumpReport

_MANY_ROUNDS = 10

COMMAND = Command(
    "dump",
    "Save the process tree below PID, PID included, as an image.",
    [Argument("PID", "the root of the tree")],
    [
        Option("-o --output", "the directory to make; an image of that name is replaced", value="IMAGE"),
        Option("-k --kill", "end the tree once the image is complete"),
        Option("-s --stop", "leave the tree stopped (SIGSTOP); SIGCONT lets it go on"),
        Option("--snapshot", "stop the tree only while it is copied in memory, and save the copy while it runs"),
        Option("--compress", "the page store, once the tree runs on", value="HOW", choices=("none", "lz4", "zstd")),
        Option("--track", "note from now on what the tree writes, for the next dump with --parent"),
        Option(
            "--parent",
            "save only what has changed since IMAGE, made by the last dump with --track",
            value="IMAGE",
        ),
        Option("--encrypt", "the image, with the key in $REPLANT_KEY_FILE (a file) or $REPLANT_KEY"),
        Option("--key-file", "instead of $REPLANT_KEY_FILE", value="FILE"),
        Option("--rounds", "copy memory so often while the tree runs, before it is stopped for the rest", value="N"),
        Option("--until-frozen", "of --rounds: fewer if the last pause is expected to be as short", value="MS"),
        Option("--journal", "keep the journal there too, whatever becomes of the image", value="FILE"),
        *policy_options("dump"),
    ],
    "The tree goes on running unless --kill or --stop is given. The image appears whole or not at all, and whatever\n"
    "fails, the tree runs on as it was found.\n\n"
    "With --snapshot the tree is stopped for milliseconds, but memory that it writes to meanwhile is there twice\n"
    "until the dump is over; where all of it could not be, that is refused. With --kill or --stop it stays stopped.",
)


def main(argv: Sequence[str]) -> int:
    """``replant dump``: 0 when the image is there."""
    words = parse(COMMAND, argv)
    pid, image = words.pid("PID"), words.text("output")
    if not image:
        raise COMMAND.wrong("-o IMAGE is missing")
    if words.flag("kill") and words.flag("stop"):
        raise COMMAND.wrong("--kill and --stop exclude each other")

    together("dump", _modules)
    from replant.flows.dump import dump

    kill, stop, journal = words.flag("kill"), words.flag("stop"), words.text("journal")
    if kill and words.flag("track"):
        raise COMMAND.wrong("--kill and --track exclude each other")
    key_file(words)
    report = dump(
        pid,
        image,
        kill=kill,
        stop=stop,
        snapshot=words.flag("snapshot"),
        compress=words.text("compress", "none"),
        encrypt=words.flag("encrypt"),
        parent=words.text("parent"),
        track=words.flag("track"),
        rounds=_rounds(words),
        until_frozen=words.number("until-frozen") or 0,
        journal=journal,
        policy=words.policy(),
    )
    if words.flag("json"):
        from replant.cli.output import document

        document(report)
    else:
        _tell(report)
    if words.flag("verbose"):
        from replant.cli.output import details

        details(report)
    return 0


def _rounds(words: Words) -> int:
    """How many; with --until-frozen alone as many as make sense."""
    return words.number("rounds") or (_MANY_ROUNDS if words.flag("until-frozen") else 0)


def _modules() -> object:
    """What every dump needs."""
    from replant.cli import output
    from replant.flows import dump
    from replant.resources import registry

    registry.preload(())
    return output, dump, registry.task_kinds()


def _tell(report: DumpReport) -> None:
    from replant.cli.output import count, lines, say, size

    for note in report.notes:
        say(note)

    what = f"{count(report.tasks, 'task')}, {count(report.threads, 'thread')}, {size(report.bytes_written)}"
    told = [f"{report.image}: {what}; {report.total_ms:.0f} ms, stopped for {report.frozen_ms:.1f} ms"]
    if report.rounds:
        many = count(report.rounds, "round")
        told.append(f"{many} before, in which it was stopped for {report.rounds_frozen_ms:.1f} ms at most")
    if report.pages_kept:
        told.append(f"{size(4096 * report.pages_kept)} of memory are in the images that it builds on")
    if report.copies:
        twice = f"{size(report.copies_bytes)} of memory were there twice in the end"
        told.append(f"copies in memory lived for {report.copies_ms:.0f} ms; {twice}")
    lines(told)
