from __future__ import annotations

import os
from pathlib import Path

import pytest
from facts import World

from replant.errors import Blocker


@pytest.mark.parametrize("name", ["null", "zero", "full", "random", "urandom"])
def test_harmless_devices(world: World, name: str) -> None:
    files, (new,) = world.again("chardev", os.open(f"/dev/{name}", os.O_RDWR))
    world.unchanged(files, [new])
    assert os.fstat(new).st_rdev == os.stat(f"/dev/{name}").st_rdev


def test_a_removed_node(world: World, tmp_path: Path) -> None:
    path = tmp_path / "zero"
    os.mknod(path, 0o20600, os.makedev(1, 5))
    fd = os.open(path, os.O_RDONLY)
    path.unlink()
    _, (new,) = world.again("chardev", fd)
    assert os.read(new, 3) == b"\0\0\0"


def test_other_devices_are_refused_by_number(world: World, tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    os.mknod(path, 0o20600, os.makedev(1, 11))
    with pytest.raises(Blocker, match="1:11"):
        world.read("chardev", world.own(os.open(path, os.O_RDONLY)))
