"""The short way to bytecode gives what importlib would give, and steps aside whenever that is in doubt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TELL = "import replant.word as w; print(w.WORD, type(w.__spec__.loader).__module__, w.__file__, w.__cached__)"
LOAD = """
import replant._load
replant._load.together("some", lambda: __import__("replant.inner"))
import replant.inner, replant.word as w
print(replant.inner.SAYS, w.WORD, type(w.__spec__.loader).__module__, w.__file__)
"""


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


@pytest.fixture
def bundled(package: Path) -> Path:
    """The package with a folder in it that imports the module; its bundle has been made."""
    (package / "inner").mkdir()
    (package / "inner" / "__init__.py").write_text("from replant.inner.deep import SAYS\n")
    (package / "inner" / "deep.py").write_text("from replant.word import WORD\nSAYS = WORD + '!'\n")
    assert loaded(package)[:2] == ["first!", "first"]
    assert bundle(package).exists()
    return package


def bundle(package: Path) -> Path:
    return package / "__pycache__" / f"some.{sys.implementation.cache_tag}.bundle"


def loaded(package: Path, *options: str, **environment: str) -> list[str]:
    """What a fresh interpreter says of modules that were loaded together."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, *options, "-c", LOAD],
        cwd=package.parent,
        env={**kept, "PYTHONPATH": str(package.parent), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


def test_a_bundle_is_used_without_the_caches_of_its_modules(bundled: Path) -> None:
    for cache in (*bundled.glob("__pycache__/word.*"), *bundled.glob("inner/__pycache__/*")):
        cache.unlink()
    told = loaded(bundled)
    assert told == ["first!", "first", "replant._load", str(bundled / "word.py")]
    assert not [*bundled.glob("__pycache__/word.*")]  # or importlib would have made it again


@pytest.mark.parametrize("change", ["WORD = 'second'\n", "WORD = 'other'\n"], ids=["longer", "as long"])
def test_a_bundle_of_an_older_source_is_made_anew(bundled: Path, change: str) -> None:
    (bundled / "word.py").write_text(change)
    os.utime(bundled / "word.py", (2, 2))
    before = bundle(bundled).read_bytes()
    word = change.split("'")[1]
    assert loaded(bundled)[:2] == [f"{word}!", word]
    assert bundle(bundled).read_bytes() != before
    assert loaded(bundled)[:2] == [f"{word}!", word]


def test_a_bundle_is_void_when_a_source_is_gone(bundled: Path) -> None:
    (bundled / "inner" / "deep.py").unlink()
    (bundled / "inner" / "deep").mkdir()
    (bundled / "inner" / "deep" / "__init__.py").write_text("SAYS = 'moved'\nimport replant.word\n")
    assert loaded(bundled)[0] == "moved"


def test_a_copy_of_the_package_tells_its_own_place(bundled: Path) -> None:
    there = Path(shutil.copytree(bundled, bundled.parent / "elsewhere" / "replant"))  # with the times of the sources
    assert loaded(there)[3] == str(there / "word.py")


@pytest.mark.parametrize("length", [0, 3, 8, 40, -1])
def test_a_bundle_that_is_cut_off_is_made_anew(bundled: Path, length: int) -> None:
    whole = bundle(bundled).read_bytes()
    bundle(bundled).write_bytes(whole[:length])
    assert loaded(bundled)[:2] == ["first!", "first"]
    assert len(bundle(bundled).read_bytes()) == len(whole)


def test_a_bundle_of_another_interpreter_is_made_anew(bundled: Path) -> None:
    whole = bundle(bundled).read_bytes()
    bundle(bundled).write_bytes(b"\0\0\r\n" + whole[4:])
    assert loaded(bundled)[0] == "first!"
    assert bundle(bundled).read_bytes()[:4] == whole[:4]


def test_nothing_is_written_where_nothing_may_be(bundled: Path) -> None:
    bundle(bundled).unlink()
    assert loaded(bundled, PYTHONDONTWRITEBYTECODE="1")[0] == "first!"
    assert loaded(bundled, "-O")[0] == "first!"
    assert not bundle(bundled).exists()
    bundle(bundled).mkdir()  # nobody, root included, can rename a file over a directory
    assert loaded(bundled)[0] == "first!"
    assert not [*bundled.glob("__pycache__/*.bundle.*")]


def test_many_may_make_a_bundle_at_once(bundled: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    for _ in range(3):
        bundle(bundled).unlink()
        started = [
            subprocess.Popen(
                [sys.executable, "-c", LOAD], env={**kept, "PYTHONPATH": str(bundled.parent)}, stdout=subprocess.PIPE
            )
            for _ in range(4)
        ]
        assert [p.communicate(timeout=60)[0].split()[0] for p in started] == [b"first!"] * 4
    assert loaded(bundled)[0] == "first!"
    assert not [*bundled.glob("__pycache__/*.bundle.*")]
