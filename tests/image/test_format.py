"""docs/image-format.md says what the program does; every State can be held by an image."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

import replant.model.tree
from replant.image import columns
from replant.image.manifest import Manifest
from replant.model.frozen import Frozen
from replant.resources import files, task

DOCS = Path(__file__).parents[2] / "docs/image-format.md"
SOURCE = Path(__file__).parents[2] / "src/replant"
ROWS = [c for c in vars(replant.model.tree).values() if isinstance(c, type) and c.__base__ is Frozen]
KINDS = [f"{package.__name__}.{module.name}" for package in (files, task) for module in iter_modules(package.__path__)]


def documented(title: str) -> list[str]:
    """The names in the first column of the table that follows a title."""
    _, found, rest = DOCS.read_text().partition(f"\n{title}")
    assert found, f"{title} is not documented"
    table = re.search(r"\n\n(\|.*?)\n\n", rest + "\n\n", re.DOTALL)
    assert table
    return [name for line in table[1].splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_rows_are_documented_field_by_field(row: type[Frozen]) -> None:
    assert documented(f"`{row.__name__}`") == list(row._fields)


def test_the_manifest_is_documented_member_by_member() -> None:
    assert documented("## manifest.json") == [*Manifest._fields, "checksum"]


def test_error_codes_are_documented() -> None:
    used = set()
    for path in [*(SOURCE / "image").glob("*.py"), SOURCE / "pages/store.py", SOURCE / "abi/reasons.py"]:
        used |= set(re.findall(r'"(image-[a-z]+)"', path.read_text()))
    known = set(re.findall(r"`(image-[a-z]+)`", DOCS.read_text().partition("## Errors")[2]))
    assert used and used == known


@pytest.mark.parametrize("name", KINDS)
def test_an_image_can_hold_every_state(name: str) -> None:
    module = import_module(name)
    if not hasattr(module, "State"):
        pytest.skip("not a kind")
    columns.record(module.State)
    assert module.State.__module__ == name, "its version is looked up there"
    assert set(getattr(module, "UPGRADES", {})) <= set(range(1, module.VERSION))
