"""The short way to bytecode gives what importlib would give, and steps aside whenever that is in doubt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TELL = "import replant.word as w; print(w.WORD, type(w.__spec__.loader).__module__, w.__file__, w.__cached__)"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the finder in a package of its own, with a module that says a word."""
    folder = tmp_path / "replant"
    folder.mkdir()
    home = Path(sys.modules["replant._load"].__file__ or "").parent if "replant._load" in sys.modules else None
    source = (home or Path(__import__("replant").__file__ or "").parent) / "_load.py"
    (folder / "_load.py").write_text(source.read_text())
    (folder / "__init__.py").write_text("from replant._load import install\ninstall()\n")
    (folder / "word.py").write_text("WORD = 'first'\n")
    os.utime(folder / "word.py", (1, 1))
    return folder


def told(package: Path, *options: str) -> list[str]:
    """What a fresh interpreter says of the module."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, *options, "-c", TELL],
        cwd=package.parent,
        env={**environment, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


def test_a_cached_module_is_found_the_short_way(package: Path) -> None:
    assert told(package)[:2] == ["first", "_frozen_importlib_external"]  # nothing is cached yet
    word, loader, file, cached = told(package)
    assert (word, loader) == ("first", "replant._load")
    assert (file, Path(cached).parent) == (str(package / "word.py"), package / "__pycache__")


@pytest.mark.parametrize("change", ["WORD = 'second'\n", "WORD = 'other'\n"], ids=["longer", "as long"])
def test_a_changed_source_is_never_passed_over(package: Path, change: str) -> None:
    told(package)
    (package / "word.py").write_text(change)
    os.utime(package / "word.py", (2, 2))
    assert told(package)[0] == change.split("'")[1]
    assert told(package)[:2] == [change.split("'")[1], "replant._load"]


@pytest.mark.parametrize("length", [0, 7, 15])
def test_a_cache_without_a_whole_header_is_made_anew(package: Path, length: int) -> None:
    cache = Path(told(package)[3])
    whole = cache.read_bytes()
    cache.write_bytes(whole[:length])
    assert told(package)[0] == "first"
    assert cache.read_bytes() == whole


def test_code_that_is_cut_off_is_left_to_importlib(package: Path) -> None:
    cache = Path(told(package)[3])
    cache.write_bytes(cache.read_bytes()[:30])
    with pytest.raises(subprocess.CalledProcessError) as failed:
        told(package)
    assert "EOFError" in failed.value.stderr  # importlib's own word for it, as without the short way


def test_a_package_below_is_found(package: Path) -> None:
    (package / "word.py").unlink()
    (package / "word").mkdir()
    (package / "word" / "__init__.py").write_text("WORD = 'inner'\n")
    told(package)
    assert told(package)[:2] == ["inner", "replant._load"]


def test_other_places_for_caches_are_left_alone(package: Path) -> None:
    told(package)
    assert told(package, "-O")[1] == "_frozen_importlib_external"
