"""Check an image with all it builds on, or make a whole one of a chain."""

from __future__ import annotations

from replant.cli.options import Argument, Command, Option, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.cli.options import Words
    from replant.flows.images import MergeReport, VerifyReport

COMMAND = Command(
    "image",
    "Work on an image, without restoring it.",
    [Argument("ACTION", "verify: compare all of it with its checksums; merge: make one that builds on no other"),
     Argument("IMAGE", "the directory that replant dump has made")],
    [Option("-o --output", "of merge: the directory to make; an image of that name is replaced", value="IMAGE")],
    "An incremental image (replant dump --parent) has only pages that have changed, and builds on earlier images,\n"
    "which must stay where they are. It is restored as it is, however many there are; merge makes it need none.",
)  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """``replant image``: 0 when it is done, or all is well."""
    words = parse(COMMAND, argv)
    actions = {"merge": _merge, "verify": _verify}
    action = words.argument("ACTION")
    if action not in actions:
        raise COMMAND.wrong(f"ACTION is one of {', '.join(actions)}, not {action!r}")
    report, line = actions[action](words, words.argument("IMAGE"))
    if words.flag("json"):
        from replant.cli.output import document

        document(report)
    else:
        from replant.cli.output import lines

        lines([line])
    if words.flag("verbose"):
        from replant.cli.output import details

        details(report)
    return 0


def _merge(words: Words, image: str) -> tuple[MergeReport | VerifyReport, str]:
    if not words.text("output"):
        raise COMMAND.wrong("merge needs -o IMAGE")
    from replant.cli.output import count, size
    from replant.flows.images import merge

    report = merge(image, words.text("output"))
    return report, f"{report.image}: {count(report.images, 'image')} in one, {size(report.bytes_written)}"


def _verify(words: Words, image: str) -> tuple[MergeReport | VerifyReport, str]:
    if words.flag("output"):
        raise COMMAND.wrong("verify makes nothing: -o is for merge")
    from replant.cli.output import count, size
    from replant.flows.images import verify

    report = verify(image)
    what = f"{count(len(report.images), 'image')}, {size(report.bytes_checked)} of pages"
    return report, f"{report.image}: {what}, all right"
