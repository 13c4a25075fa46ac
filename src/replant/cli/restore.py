"""Make a process tree again from an image."""

from __future__ import annotations

from replant.cli.options import Argument, Command, Option, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.flows.restore import RestoreReport

COMMAND = Command(
    "restore",
    "Make the process tree of IMAGE again, with the same process ids.",
    [Argument("IMAGE", "an image made by 'replant dump'")],
    [
        Option("-d --detach", "return once all tasks run; the tree then belongs to init or the nearest subreaper"),
        Option("-s --stop", "leave the tree stopped (SIGSTOP); SIGCONT lets it go on"),
        Option("--pidfile", "write the root's process id there", value="FILE"),
    ],
    "Without --detach the command stays: it passes signals on to the root and exits with the root's status, 128 plus\n"
    "the signal's number if one killed it. Whatever fails, everything made is undone.",
)


def main(argv: Sequence[str]) -> int:
    """``replant restore``: 0 once the tree runs (``--detach``), else the status of its root."""
    words = parse(COMMAND, argv)
    if words.flag("detach"):
        _tell(_restore(words.argument("IMAGE"), True, words.flag("stop"), words.text("pidfile")), words.flag("json"))
        return 0

    from replant.cli.foreground import Foreground

    with Foreground() as stay:
        report = _restore(words.argument("IMAGE"), False, words.flag("stop"), words.text("pidfile"))
        if words.flag("json") or words.flag("verbose"):
            _tell(report, words.flag("json"))
        return stay.until_end(report.root_pid)


def _restore(image: str, detach: bool, stop: bool, pidfile: str) -> RestoreReport:
    from replant.flows.restore import restore

    return restore(image, detach=detach, stop=stop, pidfile=pidfile or None)


def _tell(report: RestoreReport, as_json: bool) -> None:
    import sys

    from replant.cli.output import count, document, lines

    if as_json:
        document(report)
    else:
        lines([f"{report.root_pid}: {count(report.tasks, 'task')}; {report.total_ms:.0f} ms"])
    sys.stdout.flush()
