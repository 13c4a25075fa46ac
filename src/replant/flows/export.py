"""An ELF core file out of an image: what a debugger opens, as if the process had dumped core at the freeze.

Anonymous memory is written whole, sparse where nothing was saved. Of a mapped file only the pages that differ from it
are written: debuggers read the rest from the file itself, which NT_FILE names.
"""

from __future__ import annotations

import os
import struct

from replant.abi import elf
from replant.errors import ReplantError
from replant.image.container import open_image
from replant.model.frozen import Frozen
from replant.model.invariants import GUARD
from replant.model.places import split
from replant.resources import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from replant.image.container import Image
    from replant.model.tree import Mm, Model, Task, Vma

_PAGE = 4096
_CHUNK = 1 << 20


class Segment(Frozen):
    """A stretch of memory: ``size`` bytes from ``start`` on, of which ``kept`` are written; ``flags`` are PF_ bits."""

    start: int
    size: int
    kept: int
    flags: int


class CoreReport(Frozen):
    """What was written: the path, the process, its threads, segments of memory, and the bytes of memory in them."""

    path: str
    pid: int
    threads: int
    segments: int
    bytes_written: int


def core(image: str, path: str, pid: int | None = None) -> CoreReport:
    """Write the core file of a process of ``image`` (the root unless ``pid`` is given) to ``path``.

    :raises ImageError: the image cannot be read.
    :raises ReplantError: there is no such process in it, or the file cannot be written.
    """
    with open_image(image) as opened:
        model = opened.model(registry.state_class)
        mm, task = _process(model, model.root if pid is None else pid)
        segments = [s for vma in mm.vmas for s in _segments(vma, mm)]
        notes = b"".join(_notes(model, task, mm))
        try:
            with open(path, "wb") as out:
                written = _write(out.fileno(), opened, mm, segments, notes)
        except OSError as e:
            raise ReplantError(f"cannot write {path}: {e.strerror}", code="unwritable", resource=path) from e
        return CoreReport(path, task.pid, len(task.threads), len(segments), written)


def _process(model: Model, pid: int) -> tuple[Mm, Task]:
    for mm in model.mms:
        if mm.pid == pid:
            return mm, next(t for t in model.tasks if t.pid == pid)
    alive = ", ".join(str(mm.pid) for mm in model.mms[:20])
    raise ReplantError(
        f"the image has no memory of a process {pid}", code="no-such-task", pid=pid, hint=f"it has those of {alive}"
    )


def _runs(mm: Mm) -> Iterator[tuple[int, int, int]]:
    """The saved pages that have contents."""
    return ((start, length, at) for start, length, at in struct.iter_unpack("<QQQ", mm.runs) if at != GUARD)


def _segments(vma: Vma, mm: Mm) -> Iterator[Segment]:
    flags = vma.prot & elf.PF_W | (vma.prot & 1) << 2 | (vma.prot & 4) >> 2  # PROT_ and PF_ have r and x swapped
    runs = [(s, n) for s, n, _ in _runs(mm) if s < vma.end and s + n > vma.start]
    if not runs:
        yield Segment(vma.start, vma.end - vma.start, 0, flags)
        return
    if vma.file < 0:
        yield Segment(vma.start, vma.end - vma.start, vma.end - vma.start, flags)
        return
    at = vma.start
    for start, length in runs:
        first, last = max(start, vma.start), min(start + length, vma.end)
        if first > at:
            yield Segment(at, first - at, 0, flags)
        yield Segment(first, last - first, last - first, flags)
        at = last
    if at < vma.end:
        yield Segment(at, vma.end - at, 0, flags)


def _write(fd: int, image: Image, mm: Mm, segments: list[Segment], notes: bytes) -> int:
    count = len(segments) + 1
    many = count >= elf.PN_XNUM
    at = elf.EHDR.size + count * elf.PHDR.size + (elf.SHDR.size if many else 0)
    rows = [elf.PHDR.pack(elf.PT_NOTE, 0, at, 0, 0, len(notes), 0, 4)]
    offsets = []
    end = at + len(notes)
    for s in segments:
        end = -(-end // _PAGE) * _PAGE
        offsets.append(end)
        rows.append(elf.PHDR.pack(elf.PT_LOAD, s.flags, end, s.start, 0, s.kept, s.size, _PAGE))
        end += s.kept
    head = _header(count, many) + b"".join(rows)
    if many:
        head += elf.SHDR.pack(0, elf.SHT_NULL, 0, 0, 0, 0, 0, count, 0, 0)
    _put(fd, head + notes, 0)
    os.ftruncate(fd, end)
    return _copy_pages(fd, image.stores(), mm, segments, offsets)


def _header(count: int, many: bool) -> bytes:
    sections = elf.EHDR.size + count * elf.PHDR.size if many else 0
    return elf.EHDR.pack(
        elf.IDENT, elf.ET_CORE, elf.EM_X86_64, 1, 0, elf.EHDR.size, sections, 0, elf.EHDR.size, elf.PHDR.size,
        min(count, elf.PN_XNUM), elf.SHDR.size if many else 0, int(many), 0,
    )  # fmt: skip


def _copy_pages(fd: int, stores: Sequence[int], mm: Mm, segments: list[Segment], offsets: list[int]) -> int:
    """Copy every run to the segments that it touches; both are in the order of addresses. The bytes copied."""
    written = n = 0
    for start, length, place in _runs(mm):
        while n < len(segments) and segments[n].start + segments[n].size <= start:
            n += 1
        k = n
        while k < len(segments) and segments[k].start < start + length:
            s = segments[k]
            first, last = max(start, s.start), min(start + length, s.start + s.kept)
            if first < last:
                store, at = split(place)
                _copy(stores[store], at + first - start, fd, offsets[k] + first - s.start, last - first)
                written += last - first
            k += 1
    return written


def _copy(source: int, at: int, target: int, to: int, length: int) -> None:
    for done in range(0, length, _CHUNK):
        _put(target, os.pread(source, min(_CHUNK, length - done), at + done), to + done)


def _put(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done


def _notes(model: Model, task: Task, mm: Mm) -> Iterator[bytes]:
    """The notes in the order in which the kernel writes them: the process among those of its first thread."""
    states: dict[tuple[str, int], Any] = {(a.kind, a.tid): a.state for a in model.attributes}
    for tid in task.threads:
        registers = states["registers", tid]
        yield _status(task, tid, registers)
        if tid == task.pid:
            yield elf.note(b"CORE", elf.NT_PRPSINFO, _info(task))
            yield elf.note(b"CORE", elf.NT_AUXV, states["mm", task.pid].auxv)
            yield elf.note(b"CORE", elf.NT_FILE, _files(model, mm))
        yield elf.note(b"CORE", elf.NT_FPREGSET, registers.xstate[:512])
        yield elf.note(b"LINUX", elf.NT_X86_XSTATE, registers.xstate)


def _status(task: Task, tid: int, registers: Any) -> bytes:
    if len(registers.gprs) != elf.GREGSET:
        raise ReplantError(f"the image has no general registers of thread {tid}", code="image-corrupt", pid=tid)
    numbers = (tid, task.ppid, task.pgid, task.sid)
    data = elf.PRSTATUS.pack(0, 0, 0, 0, 0, registers.sigmask, *numbers, registers.gprs, 1)
    return elf.note(b"CORE", elf.NT_PRSTATUS, data)


def _info(task: Task) -> bytes:
    name = os.fsencode(task.comm)
    return elf.PRPSINFO.pack(0, b"S", 0, 0, 0, 0, 0, task.pid, task.ppid, task.pgid, task.sid, name, name)


def _files(model: Model, mm: Mm) -> bytes:
    paths = {f.number: os.fsencode(getattr(f.state, "path", "")) for f in model.files}
    mapped = [v for v in mm.vmas if paths.get(v.file)]
    rows = b"".join(struct.pack("<QQQ", v.start, v.end, v.offset // _PAGE) for v in mapped)
    names = b"".join(paths[v.file] + b"\0" for v in mapped)
    return struct.pack("<QQ", len(mapped), _PAGE) + rows + names
