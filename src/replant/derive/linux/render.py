"""Derivations for people: as text like strace's, as a graph for dot(1), as a picture."""

from __future__ import annotations

from .explain import call, reasons

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .process_tree import Derivation

_ROW, _STEP, _WIDE = 26, 34, 9  # pixels: a line, an indentation, a character


def render_text(derivation: Derivation, pid: int | None = None) -> str:
    """Every operation under its actor, each with its index and its reason; of one actor only, if ``pid`` is given."""
    if not derivation.ok:
        return f"impossible: {derivation.why}\n"
    told = reasons(derivation)
    by_actor: dict[int, list[int]] = {}
    for i, op in enumerate(derivation.ops):
        by_actor.setdefault(int(op[0]), []).append(i)
    lines = []
    for actor, indices in by_actor.items():
        if pid in (None, actor):
            lines.append(f"{actor}{' (helper)' if actor in derivation.helpers else ''}:")
            lines += [f"  {i:5}  {call(derivation.ops[i]):<58} # {told[i]}" for i in indices]
    return "\n".join(lines) + "\n"


def to_dot(derivation: Derivation) -> str:
    """The derivation as a graph: solid arrows from creator to created, dashed ones to the final parent."""
    lines = ["digraph derivation {", '  node [shape=box, fontname="monospace"];']
    ends = _ends(derivation)
    for pid in [derivation.outside.pid, *derivation.tasks, *derivation.helpers]:
        style = ", style=dashed" if pid in derivation.helpers else ""
        lines.append(f'  {pid} [label="{_label(derivation, pid, ends)}"{style}];')
    for op in derivation.ops:
        if op[1] in ("fork", "fork_sibling"):
            note = ' [label="sibling"]' if op[1] == "fork_sibling" else ""
            lines.append(f"  {op[0]} -> {op[2]}{note};")
            if op[2] in ends and ends[int(op[2])][0] != op[0]:
                lines.append(f"  {ends[int(op[2])][0]} -> {op[2]} [style=dashed, color=gray, constraint=false];")
    return "\n".join([*lines, "}"]) + "\n"


def to_svg(derivation: Derivation) -> str:
    """The creation tree as a picture without other programs: a row a task, who creates it to its left and above."""
    ends = _ends(derivation)
    rows = _rows(derivation)
    shapes = []
    place: dict[int, tuple[int, int]] = {}
    for number, (pid, depth, creator) in enumerate(rows):
        x, y = 12 + depth * _STEP, 12 + number * _ROW
        place[pid] = (x, y)
        shapes.append(_box(_label(derivation, pid, ends), x, y, dashed=pid in derivation.helpers))
        if creator is not None:
            left, top = place[creator]
            shapes.append(f'<path d="M{left + 8} {top + 20}V{y + 10}H{x}" fill="none" stroke="#888"/>')
    width = 40 + max(x for x, _ in place.values()) + 60 * _WIDE
    size = f'width="{width}" height="{24 + len(rows) * _ROW}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="monospace" font-size="13">'
    return "\n".join([head, *shapes, "</svg>"]) + "\n"


def _box(label: str, x: int, y: int, *, dashed: bool) -> str:
    look = 'fill="#f4f4f4" stroke="#999" stroke-dasharray="4"' if dashed else 'fill="#e8f1e4" stroke="#486"'
    box = f'<rect x="{x}" y="{y}" width="{len(label) * _WIDE + 12}" height="20" rx="4" {look}/>'
    return f'{box}<text x="{x + 6}" y="{y + 14}">{label}</text>'


def _rows(derivation: Derivation) -> list[tuple[int, int, int | None]]:
    """Every task once, below its creator: pid, depth, creator."""
    kids: dict[int, list[int]] = {}
    for op in derivation.ops:
        if op[1] in ("fork", "fork_sibling"):
            kids.setdefault(int(op[0]), []).append(int(op[2]))
    rows: list[tuple[int, int, int | None]] = []
    todo: list[tuple[int, int, int | None]] = [(derivation.outside.pid, 0, None)]
    while todo:
        pid, depth, creator = todo.pop()
        rows.append((pid, depth, creator))
        todo += [(kid, depth + 1, pid) for kid in reversed(kids.get(pid, []))]
    return rows


def _ends(derivation: Derivation) -> dict[int, tuple[int, int, int, bool, bool]]:
    """The state after all operations."""
    from ..rules import simulate
    from .rules import RULES, Tasks

    outside = derivation.outside
    tasks = Tasks(outside.pid, outside.pgid, outside.sid, outside.groups - {outside.pgid})
    simulate(tasks, RULES, derivation.ops)
    return tasks.state()


def _label(derivation: Derivation, pid: int, ends: dict[int, tuple[int, int, int, bool, bool]]) -> str:
    if pid == derivation.outside.pid:
        return f"{pid} outside"
    if pid not in ends:
        return f"{pid} helper"
    ppid, pgid, sid, dead, subreaper = ends[pid]
    flags = " zombie" * dead + " subreaper" * subreaper
    return f"{pid} ppid {ppid} pgid {pgid} sid {sid}{flags}"
