"""Show the tree in an image with its resources."""

from __future__ import annotations

from replant.cli.options import Argument, Command, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

COMMAND = Command(
    "show",
    "Show a process tree with its resources: tasks, descriptors, memory, attributes.",
    [Argument("TARGET", "an image, or the PID of a running tree")],
    text="--verbose adds every mapping and every attribute; --json is the whole model.",
)


def main(argv: Sequence[str]) -> int:
    """``replant show``: prints, 0."""
    words = parse(COMMAND, argv)

    from replant.cli.output import document, lines
    from replant.flows.show import load, render

    model = load(words.target("TARGET"))
    if words.flag("json"):
        document(model)
    else:
        lines(render(model, verbose=words.flag("verbose")))
    return 0
