"""Conventions that can be a test are one: about kinds, modules, names, and what the package's words may speak of."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from replant.policy import OPTIONS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "replant"
MODULES = sorted(PACKAGE.rglob("*.py"))
KINDS = sorted(
    path
    for family in ("files", "maps", "task")
    for path in (PACKAGE / "resources" / family).glob("*.py")
    if not path.name.startswith("_")
)
NEEDED = {
    "files": {"VERSION", "State", "make"},
    "maps": {"VERSION", "make"},
    "task": {"VERSION", "SCOPE", "State", "ASKS", "read", "make"},
}

every_kind = pytest.mark.parametrize("kind", KINDS, ids=[f"{p.parent.name}-{p.stem}" for p in KINDS])
every_module = pytest.mark.parametrize("module", MODULES, ids=[str(p.relative_to(PACKAGE)) for p in MODULES])


def named(tree: ast.Module) -> set[str]:
    """The names that a module defines at its top."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {a.asname or a.name for a in node.names}
    return found


def test_there_are_kinds() -> None:
    assert len(KINDS) > 20


@every_kind
def test_a_kind_has_what_the_protocol_asks_for(kind: Path) -> None:
    has = named(ast.parse(kind.read_text()))
    assert NEEDED[kind.parent.name] <= has
    if kind.parent.name == "files":  # what stands behind no descriptor is found by itself
        assert {"claims", "read"} <= has or "standing" in has


@every_kind
def test_a_kind_has_a_test_of_its_own(kind: Path) -> None:
    folder = ROOT / "tests" / "resources"
    wanted = {f"test_{kind.stem}.py", f"test_{kind.parent.name}_{kind.stem}.py"}
    assert any((folder / name).exists() for name in wanted), f"tests/resources/test_{kind.stem}.py is missing"


@every_module
def test_a_module_says_what_it_is(module: Path) -> None:
    tree = ast.parse(module.read_text())
    assert ast.get_docstring(tree), "no docstring"
    if len(tree.body) > 1 and module.name != "_version.py":
        second = tree.body[1]
        assert isinstance(second, ast.ImportFrom), "the first statement is not 'from __future__ import annotations'"
        assert second.module == "__future__"


@every_module
def test_files_and_functions_are_short(module: Path) -> None:
    text = module.read_text()
    assert text.count("\n") <= 400, "more than 400 lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno:
            assert node.end_lineno - node.lineno <= 80, f"{node.name} is longer than 80 lines"


def test_most_functions_are_shorter_than_40_lines() -> None:
    lengths = [
        (node.end_lineno or 0) - node.lineno + 1
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert sum(n <= 40 for n in lengths) >= 0.9 * len(lengths)
    assert sum(lengths) / len(lengths) <= 14


FORBIDDEN = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b|/(?:home|Users)/\w")


def test_no_forbidden_words() -> None:
    """Nothing unfinished, nothing of any one machine, nobody but the project itself."""
    words = ["git", "grep", "-I", "--name-only", "-e", ""]  # the text files of the project
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    found = []
    for name in listed:
        path = ROOT / name
        if path == Path(__file__) or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if FORBIDDEN.search(line):
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


def test_versions_of_the_kernel_are_never_compared() -> None:
    """Features are probed: a distribution's kernel has what its number does not say."""
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Compare):
                assert "release" not in ast.unparse(node), f"{module}: {ast.unparse(node)}"


def test_every_choice_that_a_kind_asks_for_can_be_made() -> None:
    asked = {
        name
        for module in MODULES
        for name in re.findall(
            r"\b(?:(?:dump|restore|self)\.policy|(?:policy\.)?choice)\(\"([a-z-]+)\"\)", module.read_text()
        )
    }
    assert asked == {option.name for option in OPTIONS}
