"""Say what differs between two images, or an image and a running tree."""

from __future__ import annotations

from replant.cli.options import Argument, Command, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = Command(
    "diff",
    "Compare two process trees: images, or running ones given by the PID of their root.",
    [Argument("A", "an image or a PID"), Argument("B", "an image or a PID")],
    text="A line for each difference: where, what kind of thing, what. Exits with 1 if there is one, as diff(1) does.\n"
    "A running tree is stopped for as long as it takes to look at it.",
)


def main(argv: Sequence[str]) -> int:
    """``replant diff``: 0 if nothing differs, 1 if something does."""
    words = parse(COMMAND, argv)

    from replant.cli.output import document, lines, table
    from replant.flows.diff import diff

    found = diff(words.target("A"), words.target("B"))
    if words.flag("json"):
        document({"differences": found})
    elif found:
        lines(table([(d.where, d.kind, d.what) for d in found]))
    return 1 if found else 0
