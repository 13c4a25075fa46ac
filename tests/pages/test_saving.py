"""What a dump says of its page store while processes write to it: only what is final."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pages.target import PAGE, Target
from replant.abi import x86_64
from replant.abi.call import Call
from replant.flows import saving
from replant.model.tree import Mm
from replant.pages import copy
from replant.pages.store import PageWriter
from replant.tracee.freeze import freeze

MIB = 1 << 20
PROT_NONE = 0


def test_what_a_process_cannot_write_itself_is_not_final_until_it_is_copied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Checksums, and which pages are zeros, are found out of what is final, while the rest is being written."""
    monkeypatch.setattr(saving, "_AT_ONCE", MIB)
    monkeypatch.setattr(copy, "_PIECE", MIB // 4)
    fd = os.open(tmp_path / "pages", os.O_RDWR | os.O_CREAT)
    store = PageWriter(fd)
    told: list[tuple[int, bytes]] = []
    with Target() as target:
        vma = target.map(8 * MIB // PAGE)
        target.fill(vma.start, 8 * MIB, 1)
        target.ask([Call(x86_64.mprotect, vma.start + 2 * MIB, MIB, PROT_NONE)])
        with freeze(target.pid) as frozen:
            tasks = {task.pid: task for task in frozen.tasks}
            [mm] = saving.pages(
                [Mm(target.pid, (vma,))], tasks, {}, store, lambda size: told.append((size, os.pread(fd, size, 0)))
            )
    final = os.pread(fd, store.size, 0)
    os.close(fd)
    assert len(mm.runs) == 24 and len(final) == 8 * MIB
    assert all(final.startswith(content) for _, content in told)
    assert [size // MIB for size, _ in told] == [0, 1, 2, 8]
