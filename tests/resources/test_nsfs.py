from __future__ import annotations

import os

import pytest
from facts import World, module_of

from replant.errors import Blocker


@pytest.mark.parametrize("name", ["net", "mnt", "pid", "user", "time"])
def test_the_own_one(world: World, name: str) -> None:
    files, (new,) = world.again("nsfs", os.open(f"/proc/self/ns/{name}", os.O_RDONLY))
    world.unchanged(files, [new])
    assert os.path.samestat(os.fstat(new), os.stat(f"/proc/self/ns/{name}"))
    assert module_of("nsfs").maker(files) == os.getpid()


def test_another_is_refused(world: World) -> None:
    (facts,) = world.facts(world.own(os.open("/proc/self/ns/net", os.O_RDONLY)))
    facts.ino += 1
    with pytest.raises(Blocker, match="not in"):
        module_of("nsfs").read(facts, world)
