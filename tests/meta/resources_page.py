"""Writes docs/resources.md from the kinds themselves and from the ledger of behaviours.

python tests/meta/resources_page.py > docs/resources.md
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from behaviours import ledger  # noqa: E402

RESOURCES = ROOT / "src" / "replant" / "resources"
FAMILIES = {
    "files": "Behind descriptors",
    "maps": "Mappings",
    "task": "Processes and threads",
}
HEAD = """\
# Resources

What a dump keeps, kind by kind, and what it refuses: who has anything else is refused by name, before anything
is touched. This page is made from the kinds themselves (`src/replant/resources`, one file each) and from the ledger of
behaviours (`tests/behaviours/lines`), by `python tests/meta/resources_page.py > docs/resources.md`; a test compares.
"""


def page() -> str:
    """The whole text."""
    parts = [HEAD, *kinds(), *behaviours()]
    return "\n".join(parts)


def kinds() -> Iterator[str]:
    """A section a family: each kind with its words, and what its State has in an image."""
    for family, title in FAMILIES.items():
        yield f"## {title}\n"
        for file in sorted((RESOURCES / family).glob("[!_]*.py")):
            yield f"### {file.stem}\n"
            yield from kind(file)


def kind(file: Path) -> Iterator[str]:
    """The module's docstring, and a line about its State."""
    tree = ast.parse(file.read_text())
    yield text(ast.get_docstring(tree) or "") + "\n"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "State":
            fields = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
            if fields:
                yield f"In an image: {', '.join(f'`{name}`' for name in fields)}.\n"


def text(docstring: str) -> str:
    """A docstring as Markdown; tables of reStructuredText stay as they are."""
    plain = inspect.cleandoc(docstring)
    if "====" in plain:
        return f"```text\n{plain}\n```"
    return plain.replace("``", "`")


def behaviours() -> Iterator[str]:
    """The ledger, section by section, and how much of it there is."""
    yield "## Behaviours\n"
    yield f"Of the {ledger.share()}.\n"
    section = ""
    for line in ledger.lines():
        if line.section != section:
            section = line.section
            yield f"### {section.partition('_')[2].replace('_', ' ').capitalize()}\n"
        beyond = " (beyond the usual)" if line.beyond else ""
        why = f" {line.why}" if line.why else ""
        yield f"- **{line.state}**{beyond}: {line.says}{why}"
    yield ""


if __name__ == "__main__":
    print(page(), end="")
