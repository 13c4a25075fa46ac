"""The target survives us, whenever we die, and notices nothing."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from .support import Target, build, dumper, status_of


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("target"))


@pytest.fixture(params=[(), ("catch-everything",)], ids=["", "all-signals-caught"])
def target(program: Path, request: pytest.FixtureRequest):
    running = Target(program, *request.param)
    try:
        yield running
    finally:
        running.kill()


def test_a_visit_leaves_nothing(target: Target) -> None:
    maps, descriptors = target.maps(), target.descriptors()
    for _ in range(10):
        assert status_of(dumper(target.pid)) == 0
        target.check()
    target.await_rounds(3)
    assert target.maps() == maps
    assert target.descriptors() == descriptors
    assert target.interrupted == 0
    target.end()


def test_death_at_every_step(target: Target) -> None:
    maps, descriptors = target.maps(), target.descriptors()
    stride = 3 if target.options else 1
    step = random.randint(1, stride)
    while status_of(dumper(target.pid, step)) == -signal.SIGKILL:
        target.check()
        step += stride
    assert step > 100
    target.await_rounds(3)
    assert target.maps() == maps
    assert target.descriptors() == descriptors
    target.end()


def test_death_at_random_moments(target: Target) -> None:
    maps, descriptors = target.maps(), target.descriptors()
    for _ in range(100):
        child = dumper(target.pid)
        time.sleep(random.random() * 0.008)
        os.kill(child, signal.SIGKILL)
        assert status_of(child) in (0, -signal.SIGKILL)
        target.check()
    target.await_rounds(3)
    assert target.maps() == maps
    assert target.descriptors() == descriptors
    target.end()
