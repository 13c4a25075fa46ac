"""Journals for tests: made in a directory of the test's own, read back as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replant.journal import Journal
from replant.journal.reader import Reader


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.create(str(tmp_path / "journal")) as made:
        yield made


@pytest.fixture
def rows() -> Callable[[str], list[tuple[str, tuple[int | bytes, ...]]]]:
    """The events of a journal as ``(kind, arguments)``, without the writer's own last word."""

    def read(path: str) -> list[tuple[str, tuple[int | bytes, ...]]]:
        with Reader(path) as reader:
            found = [(event.site.kind, event.args) for event in reader.events()]
        return [row for row in found if row[0] != "journal.close"]

    return read
