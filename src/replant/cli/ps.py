"""Show processes, their descriptors and mappings, fast."""

from __future__ import annotations

from replant.cli.options import Argument, Command, Option, is_pid, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from replant.cli.options import Words
    from replant.observe.observer import Observer
    from replant.observe.record import Record

COMMAND = Command(
    "ps",
    "Show processes with their threads, memory, descriptors, sockets, namespaces, and what is in the way of a dump.",
    [Argument("PID", "processes to show; all if none is given", "many")],
    [
        Option("--tree", "show parents above their children; of a PID, everything below it"),
        Option("--fds", "list every descriptor"),
        Option("--maps", "list every mapping"),
        Option("--source", "where facts come from", value="NAME", choices=("auto", "bpf", "procfs")),
        Option("--watch", "show it again every second until interrupted (needs the package rich)"),
        Option("--verify", "stop the tree below each PID, read it from both sources, and show where they differ"),
    ],
    "NAMESPACES are those in which a process differs from most of what is shown. IN THE WAY is what can be seen\n"
    "from outside; 'replant check PID' looks at everything. --json has all facts of every process; a fact that\n"
    "cannot be had is null. --verify exits with 1 if there is a difference.",
)


def main(argv: Sequence[str]) -> int:
    """``replant ps``: 0, or 1 for differences of ``--verify`` or when none of the processes is there."""
    words = parse(COMMAND, argv)
    pids = [_pid(word) for word in words.arguments("PID")]
    if words.flag("verify"):
        return _verify(pids, json=words.flag("json"))

    from replant.observe.observer import Observer

    observer = Observer(words.text("source", "auto"))
    if words.flag("watch"):
        _watch(observer, words, pids)
    found = _json(observer, words, pids) if words.flag("json") else _print(observer, words, pids)
    return 0 if found or not pids else 1


def _pid(word: str) -> int:
    if not is_pid(word):
        raise COMMAND.wrong(f"PID must be the number of a process, not {word!r}")
    return int(word)


def _scopes(words: Words, pids: Sequence[int]) -> list[tuple[int | None, Sequence[int] | None]]:
    """What to look at: (tree, pids) as the observer takes them, once for each answer."""
    if pids and words.flag("tree"):
        return [(pid, None) for pid in pids]
    return [(None, pids or None)]


def _print(observer: Observer, words: Words, pids: Sequence[int]) -> int:
    """Prints tables; gives the number of rows."""
    from replant.cli.output import lines, say, table

    count = 0
    for tree, some in _scopes(words, pids):
        rows, missing = _rows(observer, words, tree, some)
        lines(table(rows))
        count += len(rows) - 1
        for word, number in missing.items():
            if number:
                say(f"{number} {word}")
    if words.flag("verbose"):
        say(f"source: {observer.source}{f' ({observer.reason})' if observer.reason else ''}")
    return count


def _rows(
    observer: Observer, words: Words, tree: int | None, pids: Sequence[int] | None
) -> tuple[list[tuple[str, ...]], dict[str, int]]:
    from replant.observe import listing

    if words.flag("fds"):
        return [("PID", "FD", "POS", "FLAGS", "TARGET"), *listing.descriptors(observer, tree, pids)], {}
    if words.flag("maps"):
        head = ("PID", "ADDRESSES", "MODE", "OFFSET", "FLAGS", "PATH")
        return [head, *listing.mappings(observer, tree, pids)], {}
    found = listing.Listing(observer, tree, pids)
    missing = {"ended before they were read": found.vanished, "may not be read": found.hidden}
    return [listing.HEAD, *found.rows(indent=words.flag("tree"))], missing


def _json(observer: Observer, words: Words, pids: Sequence[int]) -> int:
    """Prints the document; gives the number of tasks in it."""
    from replant.cli.output import document
    from replant.observe.facts import File, Task, Vma

    kinds: dict[str, type[Record]] = {"tasks": Task}
    if words.flag("fds"):
        kinds["files"] = File
    if words.flag("maps"):
        kinds["maps"] = Vma
    count = 0
    answer: dict[str, object] = {"source": observer.source, "reason": observer.reason, "vanished": 0, "hidden": 0}
    for word, facts in kinds.items():
        records: list[object] = []
        for tree, some in _scopes(words, pids):
            seen = observer.look(facts, list(facts._fields), tree=tree, pids=some)
            records += [_plain(facts._fields, row) for row in seen.records]
            if facts is Task:
                count += len(seen.records)
                answer["vanished"], answer["hidden"] = seen.vanished, seen.hidden
        answer[word] = records
    answer["source"], answer["reason"] = observer.source, observer.reason
    document(answer)
    return count


def _plain(names: Sequence[str], row: Sequence[object]) -> dict[str, object]:
    from replant.observe.field import MISSING

    return {name: None if value is MISSING else value for name, value in zip(names, row, strict=True)}


def _watch(observer: Observer, words: Words, pids: Sequence[int]) -> None:
    import time

    try:
        from rich.live import Live
        from rich.table import Table
    except ImportError:
        raise COMMAND.wrong("--watch needs the package rich: pip install 'replant[watch]'") from None

    def view() -> Table:
        began = time.monotonic()
        [(tree, some), *_] = _scopes(words, pids)
        head, *rows = _rows(observer, words, tree, some)[0]
        took = (time.monotonic() - began) * 1e3
        shown = Table(*head, box=None, caption=f"{len(rows)} in {took:.1f} ms from {observer.source}")
        for row in rows:
            shown.add_row(*row)
        return shown

    with Live(view(), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(1)
            live.update(view(), refresh=True)


def _verify(pids: Sequence[int], *, json: bool) -> int:
    if not pids:
        raise COMMAND.wrong("--verify wants the PID of a tree")

    from replant.cli.output import document, lines
    from replant.observe.crosscheck import Difference, verify
    from replant.tracee.freeze import freeze

    found: list[Difference] = []
    compared = 0
    for pid in pids:
        with freeze(pid) as frozen:
            count, differences = verify([task.pid for task in frozen.tasks])
        found += differences
        compared += count
    if json:
        document({"compared": compared, "differences": [difference._asdict() for difference in found]})
    else:
        lines([*map(str, found), f"{compared} facts compared, {len(found)} differ"])
    return 1 if found else 0
