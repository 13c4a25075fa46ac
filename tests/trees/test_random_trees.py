"""Random trees with orphans, dead leaders and lost sessions come back exactly; bench/derive/replanted.py takes 300."""

from __future__ import annotations

from pathlib import Path

import pytest

from trees.replanting import build, replant_one

pytestmark = [pytest.mark.isolated, pytest.mark.timeout(300)]


@pytest.mark.parametrize("first", [1, 100])
def test_random_trees_are_replanted(first: int, tmp_path: Path) -> None:
    program = build(tmp_path)
    for seed in range(first, first + 8):
        assert replant_one(program, tmp_path / f"tree{seed}", seed, 12 + seed % 49) == []
