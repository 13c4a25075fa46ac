"""Print the system calls that build a tree, each with its reason."""

from __future__ import annotations

from replant.cli.options import Argument, Command, Option, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.cli.options import Words
    from replant.flows.plan import Step

COMMAND = Command(
    "plan",
    "Derive the sequence of system calls that builds a tree, task by task, without making one of them.",
    [Argument("TARGET", "an image, or the PID of a running tree", "optional")],
    [
        Option("--pid", "only the calls of this process or thread", value="PID"),
        Option(
            "--explain",
            "why this process, thread or helper comes to its place, and what its steps wait for",
            value="PID",
        ),
        Option("--dot", "the derivation of the tree as a graph for dot(1)"),
        Option("--svg", "the derivation of the tree as a picture"),
        Option("--tree", "trees that are only described, a JSON object each line (- for standard input)", value="FILE"),
    ],
    "With --tree an answer is written for each line that is read, in order, as it is found: the operations, or why no\n"
    "sequence of operations leads to that tree.",
)


def main(argv: Sequence[str]) -> int:
    """``replant plan``: 0 when there is a plan (``--tree``: when every line was answered)."""
    words = parse(COMMAND, argv)
    if words.text("tree"):
        return _tree(words.text("tree"))
    if not words.argument("TARGET"):
        raise COMMAND.wrong("an image, a PID or --tree FILE is missing")

    target, form = words.target("TARGET"), "dot" if words.flag("dot") else "svg" if words.flag("svg") else ""
    if form or words.number("explain") is not None:
        return _reasons(target, form, words)

    from replant.cli.output import document, lines
    from replant.flows.plan import plan

    rows = plan(target)
    only = words.number("pid")
    if only is not None:
        rows = [row for row in rows if row.actor == str(only)]
    if words.flag("json"):
        document(rows)
    else:
        lines(_text(rows))
    return 0


def _reasons(target: str | int, form: str, words: Words) -> int:
    from replant.cli.output import document, lines
    from replant.flows.reasons import drawn, explained

    pid = words.number("explain")
    told = explained(target, pid) if pid is not None else drawn(target, form).splitlines()
    if words.flag("json"):
        document(told)
    else:
        lines(told)
    return 0


def _text(rows: Sequence[Step]) -> list[str]:
    """Calls under a heading for each actor, as strace would print them, the reason behind."""
    shown: list[str] = []
    last = ""
    for actor, number, call, why in rows:
        if actor != last:
            shown += ([""] if shown else []) + [f"{actor}:"]
            last = actor
        shown.append(f"  {number:>5}  {call}" + (f"   # {why}" if why else ""))
    return shown


def _tree(path: str) -> int:
    import sys

    from replant.derive.stream import answer

    if path == "-":
        answer(sys.stdin, sys.stdout)
        return 0
    try:
        with open(path, encoding="utf-8") as lines_in:
            answer(lines_in, sys.stdout)
    except OSError as error:
        from replant.errors import ReplantError

        raise ReplantError(f"cannot read {path}: {error.strerror}", code="unreadable", resource=path) from error
    return 0
