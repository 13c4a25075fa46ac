"""seccomp: refused by name, strict mode and filters."""

from __future__ import annotations

import struct

import pytest
from task_child import Child, facts, read

from replant.abi import x86_64 as nr
from replant.errors import Blocker, Bug
from replant.resources.task import seccomp

SECCOMP_SET_MODE_FILTER = 1
SECCOMP_RET_ALLOW = 0x7FFF0000


def test_none() -> None:
    with Child() as child:
        assert read(seccomp, child) is None


def test_filters_are_refused() -> None:
    with Child() as child:
        code = struct.pack("<HBBI", 0x06, 0, 0, SECCOMP_RET_ALLOW)
        at = child.call(nr.mmap, 0, 4096, 3, 0x22, -1, 0).ret
        pipe = child.call(nr.memfd_create, b"code", 0).ret
        child.call(nr.write, pipe, code, len(code))
        child.call(nr.pread64, pipe, at, len(code), 0)
        child.call(nr.prctl, 38, 1, 0, 0, 0)
        assert child.call(nr.seccomp, SECCOMP_SET_MODE_FILTER, 0, struct.pack("<H6xQ", 1, at)).ret == 0
        with pytest.raises(Blocker, match="filters") as refused:
            read(seccomp, child)
        assert refused.value.pid == child.pid
        assert child.call(nr.getpid).ret == child.pid


def test_strict_mode_is_refused() -> None:
    with Child() as child:
        t = facts(child)
        t.status = t.status._replace(seccomp=1)
        with pytest.raises(Blocker, match="strict"):
            seccomp.read(t, ())


def test_there_is_nothing_to_make() -> None:
    with pytest.raises(Bug):
        seccomp.make(seccomp.State(), 1, None, None)  # type: ignore[arg-type]
