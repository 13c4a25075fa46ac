"""A tree as a person wants to read it: who descends from whom, and what each task holds.

Kinds are shown by the fields of their States alone, so that a new kind is shown as soon as it exists.
"""

from __future__ import annotations

import struct

from replant.model.frozen import Frozen
from replant.model.tree import Extent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from replant.model.tree import File, Mm, Model, Task, Vma

_WIDE = 100


def load(target: int | str) -> Model:
    """The model of an image (a path), or of the running tree below a pid, which is stopped for the look.

    :raises ReplantError: there is no such image or process, or it cannot be read.
    """
    if isinstance(target, int):
        from replant.flows.capture import look
        from replant.policy import LOOKING

        return look(target, LOOKING)[0]
    from replant.image.container import open_image
    from replant.resources import registry

    with open_image(target) as image:
        return image.model(registry.state_class)


def render(model: Model, *, verbose: bool = False) -> Iterator[str]:
    """The lines of ``replant show``; ``verbose`` adds every mapping and every attribute."""
    yield _summary(model)
    children: dict[int, list[Task]] = {}
    pids = {t.pid for t in model.tasks}
    for task in model.tasks:
        children.setdefault(task.ppid if task.ppid in pids else 0, []).append(task)
    view = _View(model, verbose)
    stack = [(task, "", False) for task in reversed(children.get(0, []))]
    while stack:  # no recursion: a chain of tasks may be as long as there are pids
        task, indent, more = stack.pop()
        below = children.get(task.pid, [])
        inner = indent + ("│  " if more else "   ") if task.pid != model.root else ""
        branch = ("├─ " if more else "└─ ") if task.pid != model.root else ""
        yield f"{indent}{branch}{_title(task)}"
        bar = inner + ("│    " if below else "     ")
        yield from (bar + line for line in view.task(task))
        last = len(below) - 1
        stack.extend((child, inner, n != last) for n, child in reversed(list(enumerate(below))))


def _summary(model: Model) -> str:
    threads = sum(len(t.threads) for t in model.tasks)
    saved = sum(length for mm in model.mms for _, length in _runs(mm))
    counts = ((len(model.tasks), "task"), (threads, "thread"), (len(model.files), "file description"))
    words = [f"{n} {what}{'' if n == 1 else 's'}" for n, what in counts]
    return ", ".join([*words, f"{saved >> 10} KiB of memory saved"])


def _runs(mm: Mm) -> Iterator[tuple[int, int]]:
    return ((start, length) for start, length, _ in struct.iter_unpack("<QQQ", mm.runs))


def _title(task: Task) -> str:
    words = [f"{task.pid} {task.comm}"]
    if task.sid == task.pid:
        words.append("session leader")
    elif task.pgid == task.pid:
        words.append("group leader")
    if task.state == "Z":
        words.append(f"dead, wait status {task.exit_code:#x}")
    if task.state == "T":
        words.append(f"stopped by signal {task.stop_signal}")
    if task.subreaper:
        words.append("subreaper")
    return ", ".join(words)


class _View:
    """The lines of each task."""

    def __init__(self, model: Model, verbose: bool) -> None:
        self.verbose = verbose
        self.files = {f.number: f for f in model.files}
        self.mms = {mm.pid: mm for mm in model.mms}
        self.tables = {t.pid: t for t in model.tables}
        self.attributes: dict[int, list[tuple[str, Frozen]]] = {}
        for a in model.attributes:
            self.attributes.setdefault(a.tid, []).append((a.kind, a.state))

    def task(self, task: Task) -> Iterator[str]:
        """What a task holds."""
        for name in ("exe", "cwd", "root"):
            number: int = getattr(task, name)
            if number in self.files:
                yield f"{name} {_what(self.files[number])}"
        if len(task.threads) > 1:
            yield f"threads {_numbers(task.threads)}"
        if task.pid in self.mms:
            yield from self.memory(self.mms[task.pid])
        if task.pid in self.tables:
            yield from self.descriptors(task.pid)
        if self.verbose:
            for tid in task.threads:
                yield from self.thread(tid)

    def memory(self, mm: Mm) -> Iterator[str]:
        """An address space."""
        size = sum(v.end - v.start for v in mm.vmas)
        saved = sum(length for _, length in _runs(mm))
        yield f"memory {len(mm.vmas)} mappings of {size >> 10} KiB, {saved >> 10} KiB saved"
        if self.verbose:
            yield from (f"  {self.mapping(vma)}" for vma in mm.vmas)

    def mapping(self, vma: Vma) -> str:
        """A mapping, as /proc/PID/maps has it."""
        letters = "".join(c if vma.prot & bit else "-" for c, bit in (("r", 1), ("w", 2), ("x", 4)))
        what = _what(self.files[vma.file]) if vma.file in self.files else vma.kind
        sharing = "s" if vma.shared else "p"
        return f"{vma.start:x}-{vma.end:x} {letters}{sharing} {vma.offset:x} {vma.flags} {what}".replace("  ", " ")

    def descriptors(self, pid: int) -> Iterator[str]:
        """A descriptor table; descriptors of one description stand together."""
        held: dict[int, list[int]] = {}
        for entry in self.tables[pid].entries:
            held.setdefault(entry.file, []).append(entry.fd)
        for number, fds in held.items():
            yield f"fd {_numbers(fds)} -> #{number} {_what(self.files[number])}"

    def thread(self, tid: int) -> Iterator[str]:
        """The attributes of a thread."""
        for kind, state in self.attributes.get(tid, []):
            yield f"{tid} {kind}: {_fields(state)}"


def _what(file: File) -> str:
    modes = {0: "r", 1: "w", 2: "rw"}
    at = f" at {file.pos}" if file.pos else ""
    return f"{file.kind} {modes.get(file.flags & 3, '')}{at} {_fields(file.state)}".rstrip()


def _fields(state: Frozen) -> str:
    """The fields of a State that say something: what is empty or nought goes without saying."""
    named = zip(state._fields, state, strict=True)
    return _cut(" ".join(f"{n}={_word(v)}" for n, v in named if v not in (0, "", b"", (), None, False)))


def _word(value: object) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>" if len(value) > 8 else value.hex()
    if isinstance(value, Extent):
        return f"<{value.length} bytes>"
    if isinstance(value, Frozen):
        return f"({_fields(value)})"
    if isinstance(value, tuple):
        return "[" + ", ".join(_word(v) for v in value[:9]) + (", …" if len(value) > 9 else "") + "]"
    if isinstance(value, int) and value > 0xFFFF:
        return f"{value:#x}"
    return str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"


def _numbers(numbers: Iterable[int]) -> str:
    """Numbers in order, runs of them as ``a-b``."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
