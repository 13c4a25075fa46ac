"""Make another format of an image: an ELF core file."""

from __future__ import annotations

from replant.cli.options import Argument, Command, Option, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

FORMATS = ("core",)
COMMAND = Command(
    "export",
    "Make another format of an image.",
    [Argument("FORMAT", f"one of: {', '.join(FORMATS)}"), Argument("IMAGE", "an image made by 'replant dump'")],
    [
        Option("-o --output", "the file to write", value="FILE"),
        Option("--pid", "the process, if it is not the root", value="PID"),
    ],
    "core: an ELF core file of one process, with the registers of all its threads, for gdb and other debuggers.",
)


def main(argv: Sequence[str]) -> int:
    """``replant export``: 0 when the file is written."""
    words = parse(COMMAND, argv)
    if words.argument("FORMAT") not in FORMATS:
        raise COMMAND.wrong(f"FORMAT is one of {', '.join(FORMATS)}, not {words.argument('FORMAT')!r}")
    if not words.text("output"):
        raise COMMAND.wrong("-o FILE is missing")

    from replant.cli.output import count, document, lines, size
    from replant.flows.export import core

    report = core(words.argument("IMAGE"), words.text("output"), words.number("pid"))
    if words.flag("json"):
        document(report)
    else:
        what = f"process {report.pid}, {count(report.threads, 'thread')}, {size(report.bytes_written)} of memory"
        lines([f"{report.path}: {what}"])
    return 0
