"""area_policies: on which nodes the memory of single areas is to be; one node is enough to try it."""

from __future__ import annotations

import pytest
from task_child import Child, make, read

from replant.abi import mman
from replant.abi import x86_64 as nr
from replant.observe import procfs
from replant.resources.task import area_policies
from replant.resources.task.area_policies import Area, State

MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE, MPOL_LOCAL = 1, 2, 3, 4
SIZE = 4 * mman.PAGE


def mapped(child: Child, how: int) -> int:
    prot = mman.PROT_READ | mman.PROT_WRITE
    return child.call(nr.mmap, 0, SIZE, prot, how | mman.MAP_ANONYMOUS, -1, 0).ret


@pytest.mark.parametrize("how", [mman.MAP_PRIVATE, mman.MAP_SHARED])
@pytest.mark.parametrize("mode", [MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE, MPOL_LOCAL])
def test_round_trip(monkeypatch: pytest.MonkeyPatch, how: int, mode: int) -> None:
    monkeypatch.setattr(area_policies, "several_nodes", lambda: True)
    nodes = b"" if mode == MPOL_LOCAL else b"\x01"
    with Child() as child:
        at = mapped(child, how)
        middle = Area(at + mman.PAGE, at + 3 * mman.PAGE, mode, nodes)
        if child.call(nr.mbind, middle.start, 2 * mman.PAGE, mode, nodes.ljust(128, b"\0"), 1025, 0).ret:
            pytest.skip("this kernel has no NUMA")
        assert read(area_policies, child, mappings=procfs.maps(child.pid)) == State((middle,))
        other = mapped(child, how)
        make(area_policies, State((middle._replace(start=other, end=other + SIZE),)), child)
        found = read(area_policies, child, mappings=procfs.maps(child.pid))
        assert Area(other, other + SIZE, mode, nodes) in found.areas


def test_one_node_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(area_policies, "several_nodes", lambda: False)
    with Child() as child:
        assert read(area_policies, child, mappings=procfs.maps(child.pid)) is None
