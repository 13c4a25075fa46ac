"""protection_keys: which are allocated, which a mapping has, what each thread may do; skipped on CPUs without."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_child import Child, again, make, read

from live.compile import compiled
from live.program import Program
from live.roundtrip import Mode, every_mode, roundtrip
from replant.abi import x86_64 as nr
from replant.resources.task import protection_keys
from replant.resources.task.protection_keys import State

HERE = Path(__file__).parent


def has_keys(child: Child) -> bool:
    return child.call(nr.pkey_alloc, 0, 0).ret > 0


def test_none() -> None:
    with Child() as child:
        assert read(protection_keys, child) is None


def test_round_trip() -> None:
    with Child() as child:
        if not has_keys(child):
            pytest.skip("no protection keys here")
        make(protection_keys, State((2, 5)), child)
        assert read(protection_keys, child) == State((1, 2, 5))
    assert again(protection_keys, State((2, 5))) == State((2, 5))


@pytest.mark.isolated
@every_mode
def test_goes_on(mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    with Child() as child:
        if not has_keys(child):
            pytest.skip("no protection keys here")
    with Program.start([str(compiled(HERE / "protection_keys.c", folder))], folder) as program:
        program.until_ready()
        program.ask()
        roundtrip(program, program.ask, mode)
