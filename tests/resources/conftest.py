from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from facts import World


@pytest.fixture
def world() -> Iterator[World]:
    with World() as it:
        yield it
