"""area_names: what an anonymous area is called."""

from __future__ import annotations

import pytest
from task_child import Child, make, read

from replant.abi import mman
from replant.abi import x86_64 as nr
from replant.abi.prctl import PR_SET_VMA, PR_SET_VMA_ANON_NAME
from replant.observe import procfs
from replant.resources.task import area_names
from replant.resources.task.area_names import Area, State


def test_round_trip() -> None:
    size = 2 * mman.PAGE
    with Child() as child:
        at = child.call(nr.mmap, 0, size, mman.PROT_READ, mman.MAP_PRIVATE | mman.MAP_ANONYMOUS, -1, 0).ret
        if child.call(nr.prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, at, size, b"a name: with (signs)\0").ret:
            pytest.skip("this kernel has no names of areas (CONFIG_ANON_VMA_NAME)")
        state = read(area_names, child, mappings=procfs.maps(child.pid))
        assert state == State((Area(at, at + size, "a name: with (signs)"),))
        make(area_names, State((Area(at, at + size, "another"),)), child)
        assert "[anon:another]" in [m.path for m in procfs.maps(child.pid)]


def test_what_is_read() -> None:
    """Names are taken from the listing, so that can be tried without a kernel that has them."""
    with Child() as child:
        row = procfs.maps(child.pid)[0]
        rows = [row._replace(path=p) for p in ("[heap]", "[anon:glibc: malloc]", "[anon_shmem:x]", "/bin/true", "")]
        names = [area.name for area in read(area_names, child, mappings=rows).areas]
        assert names == ["glibc: malloc", "x"]
        assert read(area_names, child, mappings=[row]) is None
