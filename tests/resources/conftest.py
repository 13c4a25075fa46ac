from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from control_groups import Groups
from facts import World


@pytest.fixture
def world() -> Iterator[World]:
    with World() as it:
        yield it


@pytest.fixture
def groups() -> Iterator[Groups]:
    """They live outside of the namespaces of a test, so that whatever becomes of it they are removed."""
    made = Groups(f"replant-{os.getpid()}")
    yield made
    made.remove()
    made.disable()
