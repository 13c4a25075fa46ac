"""hugetlb: huge pages private and shared, of memory files and of System V, in two processes."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from live.command import replant, replant_json
from live.compile import compiled
from live.program import Program
from live.roundtrip import MODES, Mode, every_mode, roundtrip

HERE = Path(__file__).parent
POOL = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
PAGES = 40
GROUP = Path("/proc/sys/vm/hugetlb_shm_group")

pytestmark = pytest.mark.isolated


@pytest.fixture
def pool() -> Iterator[None]:
    """Huge pages for as long as a test takes; the pool is the whole machine's, so only one test at a time has them."""
    lock = os.open(POOL.parent, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield from _reserved()
    finally:
        os.close(lock)


def _reserved() -> Iterator[None]:
    try:
        before = POOL.read_text()
        POOL.write_text(str(int(before) + PAGES))
    except OSError as error:
        pytest.skip(f"no huge pages can be reserved: {error}")
    try:
        if int(POOL.read_text()) < int(before) + PAGES:
            pytest.skip("there is not enough memory in one piece for huge pages")
        yield
    finally:
        POOL.write_text(before)


def start(folder: Path) -> Program:
    return Program.start([str(compiled(HERE / "hugetlb.c", folder))], folder)


@every_mode
def test_goes_on(pool: None, mode: Mode, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    if mode.user is not None:
        group = GROUP.read_text()
        GROUP.write_text(str(mode.user))
    try:
        with start(folder) as program:
            program.until_ready()
            program.ask()
            roundtrip(program, program.ask, mode, times=2 if mode is MODES["plain"] else 1)
    finally:
        if mode.user is not None:
            GROUP.write_text(group)


def test_a_host_without_huge_pages(pool: None, tmp_path: Path) -> None:
    with start(tmp_path) as program:
        program.until_ready()
        image = tmp_path / "image"
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        kept = POOL.read_text()
        POOL.write_text("0")
        try:
            if int(POOL.read_text()):
                pytest.skip("somebody else uses huge pages")
            refused = json.loads(replant("restore", image, "--detach", "--json").stdout)
            assert {blocker["code"] for blocker in refused["blockers"]} == {"huge-pages"}
        finally:
            POOL.write_text(kept)
        replant_json("restore", image, "--detach")
        program.ask()
