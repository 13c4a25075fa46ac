"""Fuzzed images never do more than say no."""

from __future__ import annotations

import random

import pytest

from image import fuzz


@pytest.mark.parametrize("seed", range(2))
def test_fuzzed_images_are_refused_with_words(seed: int) -> None:
    found = fuzz.run(1500, seed)
    assert found[False] > found[True] > 0  # some changes are allowed ones: another number, another name


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_hundred_thousand_fuzzed_images() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    fuzz.run(100_000, seed)
