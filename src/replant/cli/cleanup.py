"""List what trees that are away have left in the kernel, and take away what is left over."""

from __future__ import annotations

from replant.cli.options import Argument, Command, Option, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.resources.shared.leftover import Leftover

COMMAND = Command(
    "cleanup",
    "List what replant has left in the kernel for trees that are away, and with --remove take away what is left over.",
    [Argument("NAME", "with --remove: this, even if an image still waits for it", "many")],
    [Option("--remove", "take away what is left over, or what is named")],
    "While a tree with TCP connections is away, a table of nf_tables holds off their packets: no peer learns of it.\n"
    "The restore takes it away. It is left over if the image is gone, or if a command was killed at a bad moment.",
)


def main(argv: Sequence[str]) -> int:
    """``replant cleanup``: 0."""
    words = parse(COMMAND, argv)
    names = words.arguments("NAME")
    if names and not words.flag("remove"):
        raise COMMAND.wrong("a NAME is for --remove")

    from replant.cli.output import document, lines
    from replant.flows.cleanup import leftovers, remove

    found = remove(names) if words.flag("remove") else leftovers()
    if words.flag("json"):
        document({"removed" if words.flag("remove") else "found": found})
    else:
        lines(_text(found, words.flag("remove")))
    return 0


def _text(found: Sequence[Leftover], removed: bool) -> list[str]:
    from replant.cli.output import table

    if not found:
        return ["nothing is left over" if removed else "there is nothing"]
    return table([("removed" if removed else f.state, f.name, f.what, f.why) for f in found])
