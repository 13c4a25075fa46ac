"""Make a process tree again from an image."""

from __future__ import annotations

from replant._load import together
from replant.cli.options import Argument, Command, Option, key_file, parse, policy_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.cli.options import Words
    from replant.flows.restore import RestoreReport

COMMAND = Command(
    "restore",
    "Make the process tree of IMAGE again, with the same process ids.",
    [Argument("IMAGE", "an image made by 'replant dump'")],
    [
        Option("-d --detach", "return once all tasks run; the tree then belongs to init or the nearest subreaper"),
        Option("-s --stop", "leave the tree stopped (SIGSTOP); SIGCONT lets it go on"),
        Option("--new-pids", "in a pid namespace of its own: one image can run many times at once"),
        Option("-l --lazy", "let the tree run at once; its pages come when they are touched, and in the background"),
        Option("--working-set", "where --lazy notes what is touched first; null for nowhere", value="FILE"),
        Option("--key-file", "the key of an encrypted image, instead of $REPLANT_KEY_FILE", value="FILE"),
        Option("--pidfile", "write the root's process id there", value="FILE"),
        Option("--journal", "keep the journal there, not only of a restore that fails", value="FILE"),
        *policy_options("restore"),
    ],
    "Without --detach the command stays: it passes signals on to the root and exits with the root's status, 128 plus\n"
    "the signal's number if one killed it. With --new-pids the tree sees its own pids, while the pids that are told,\n"
    "--pidfile included, are those out here. Whatever fails, everything made is undone.",
)


def main(argv: Sequence[str]) -> int:
    """``replant restore``: 0 once the tree runs (``--detach``), else the status of its root."""
    words = parse(COMMAND, argv)
    key_file(words)
    if words.flag("detach"):
        _tell(_restore(words, detach=True), words)
        return 0

    from replant.cli.foreground import Foreground

    with Foreground() as stay:
        report = _restore(words, detach=False)
        if words.flag("json"):
            _tell(report, words)
        return stay.until_end(report.root_pid, report.init_pid)


def _restore(words: Words, *, detach: bool) -> RestoreReport:
    together("restore", _modules)
    from replant.flows.restore import restore

    return restore(
        words.argument("IMAGE"),
        detach=detach,
        stop=words.flag("stop"),
        new_pids=words.flag("new-pids"),
        lazy=words.flag("lazy"),
        working_set=words.text("working-set"),
        pidfile=words.text("pidfile") or None,
        journal=words.text("journal"),
        policy=words.policy(),
    )


def _modules() -> object:
    """What every restore needs."""
    from replant.cli import output
    from replant.flows import restore
    from replant.resources import registry, steps

    registry.preload(())
    return output, restore, steps.process_order()


def _tell(report: RestoreReport, words: Words) -> None:
    import sys

    from replant.cli.output import count, details, document, lines, say, size

    for note in report.notes if not words.flag("json") else ():
        say(note)
    if words.flag("json"):
        document(report)
    else:
        later = f"; {size(report.bytes_later)} are still to come" if report.bytes_later else ""
        lines([f"{report.root_pid}: {count(report.tasks, 'task')}; {report.total_ms:.0f} ms{later}"])
    if words.flag("verbose"):
        details(report)
    sys.stdout.flush()  # the tree's own output comes after it
