"""Say whether this host, a running tree or an image is ready."""

from __future__ import annotations

from replant.cli.options import Argument, Command, is_pid, parse, policy_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.flows.check import Report
    from replant.host import Feature

COMMAND = Command(
    "check",
    "Say whether this host (no TARGET), the tree below a PID, or an image is ready to be dumped or restored.",
    [Argument("TARGET", "a PID or an image; none for the host", "optional")],
    policy_options("dump", "restore"),
    "Everything that is in the way is listed at once, with its owner, the reason and what to do. Nothing is\n"
    "changed; a running tree is stopped while it is looked at. Exits with 1 if something is in the way.",
)


def main(argv: Sequence[str]) -> int:
    """``replant check``: 0 if nothing is in the way."""
    words = parse(COMMAND, argv)

    from replant.cli.output import document, lines
    from replant.flows.check import check

    target = words.argument("TARGET")
    report = check(int(target) if is_pid(target) else target or None, policy=words.policy())
    if words.flag("json"):
        document(report.as_dict())
    else:
        lines(_text(report, words.flag("verbose")))
    return 0 if report.ok else 1


def _text(report: Report, verbose: bool) -> list[str]:
    if report.features:
        return _features(report.features, verbose)
    if report.ok:
        return [f"{report.target}: nothing is in the way"]
    rows = [f"{report.target}: {len(report.blockers)} in the way"]
    for blocker in report.blockers:
        where = " ".join(filter(None, [f"task {blocker.pid}" if blocker.pid else "", blocker.resource]))
        rows.append(f"  - {where}: {blocker}" if where else f"  - {blocker}")
        if blocker.hint:
            rows.append(f"    try: {blocker.hint}")
    return rows


def _features(features: Sequence[Feature], verbose: bool) -> list[str]:
    from replant.cli.output import table

    rows = [(_mark(f), f.name, f.detail if f.present and not verbose else f"{f.detail}; {f.serves}") for f in features]
    shown = []
    for feature, row in zip(features, table(rows), strict=True):
        shown.append(row)
        if not feature.present:
            shown.append(f"         fix: {feature.fix}")
    return shown


def _mark(feature: Feature) -> str:
    if feature.present:
        return "ok"
    return "MISSING" if feature.required else "without"
