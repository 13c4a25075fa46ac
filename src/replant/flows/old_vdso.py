"""A tree whose kernel had another vDSO: the present one is put elsewhere, and the old code leads to it.

The kernel can only move its own vDSO together with its data, so the old code becomes memory of the process like any
other: the next dump, under the same kernel, finds nothing that it must do.
"""

from __future__ import annotations

from replant.abi import ptrace
from replant.abi import vdso as abi
from replant.errors import Blocker
from replant.execute.arena import find_place
from replant.model.tree import Vma
from replant.resources.shared import vdso as shared
from replant.tracee import detour, vdso
from replant.tracee.memory import Memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from replant.execute.vdso import Vdso
    from replant.model.tree import Mm, Model

    Code = Mapping[int, tuple[int, bytes]]  # by pid: address, bytes


def blockers(model: Model) -> Iterator[Blocker]:
    """Threads that were inside of the old code: it goes on with data that only the old kernel has."""
    if not _differs(model):
        return
    states = _registers(model)
    special = {mm.pid: [v for v in mm.vmas if v.kind == "vdso"] for mm in model.mms}
    for task in model.tasks:
        for tid in task.threads:
            if tid in states and any(v.start <= _rip(states[tid].gprs) < v.end for v in special[task.pid]):
                yield Blocker(
                    f"thread {tid} was inside of the vDSO, and the kernel here has another one",
                    code="vdso-inside",
                    pid=tid,
                    resource="[vdso]",
                    hint="restore it on the kernel that it was made on, and dump it again",
                )


def _registers(model: Model) -> dict[int, Any]:
    return {a.tid: a.state for a in model.attributes if a.kind == "registers"}


def _rip(gprs: bytes) -> int:
    return int.from_bytes(gprs[ptrace.RIP : ptrace.RIP + 8], "little")


def replaced(model: Model, here: Vdso) -> tuple[Model, Code]:
    """The model with room for the present vDSO in every process, and the old code to be `put` where it was."""
    if not _differs(model):
        return model, {}
    place = find_place([mm.vmas for mm in model.mms], here.size)
    code = shared.led(_code(model), abi.code(), place + here.code)
    new = [Vma(place + start, place + end, prot, False, "", 0, "vdso", -1) for start, end, prot in here.rows]
    states = _registers(model)
    mms, codes = [], {}
    for mm in model.mms:
        old = [v for v in mm.vmas if v.kind == "vdso"]
        if old:
            own = code[: old[-1].end - old[-1].start]
            if mm.pid in states and states[mm.pid].detours:  # a handler may return there
                own = own[: -vdso.DETOUR] + detour.CODE.ljust(vdso.DETOUR, b"\0")
            codes[mm.pid] = old[-1].start, own
            mm = _replaced(mm, [*new, old[-1]._replace(kind="anon")])
        mms.append(mm)
    return model._replace(mms=tuple(mms)), codes


def _replaced(mm: Mm, new: list[Vma]) -> Mm:
    vmas = [v for v in mm.vmas if v.kind != "vdso"]
    return mm._replace(vmas=tuple(sorted([*vmas, *new], key=lambda vma: vma.start)))


def put(codes: Code) -> None:
    """Write the old code into the mappings that stand for it."""
    for pid, (address, code) in codes.items():
        memory = Memory(pid)
        try:
            memory.write(address, code)
        finally:
            memory.close()


def _differs(model: Model) -> bool:
    code = _code(model)
    return bool(code) and not shared.alike(code, abi.code())


def _code(model: Model) -> bytes:
    states: list[Any] = [file.state for file in model.files if file.kind == "vdso"]
    return states[0].code if states else b""
