"""What is promised in words stands in the code, and what the code has is in the words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replant.cli.main import COMMANDS
from replant.cli.options import Command, usage

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "commands"


def declared(name: str) -> Command:
    """The declaration of a command."""
    command: Command = __import__(f"replant.cli.{name}", fromlist=["COMMAND"]).COMMAND
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_shows_the_words_of_its_command(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text()
    assert page.startswith(f"# replant {name}\n")
    wanted = f"```text\n{usage(declared(name)).rstrip()}\n```"
    assert wanted in page, f"docs/commands/{name}.md must contain:\n{wanted}"


def test_there_is_no_page_without_a_command() -> None:
    assert {p.stem for p in PAGES.glob("*.md")} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_declares_itself_under_its_name(name: str) -> None:
    command = declared(name)
    assert command.name == name
    assert command.summary.endswith(".")
    for option in command.options:
        assert option.names[-1].startswith("--"), f"{option.names} has no long name"
        assert not option.help.endswith("."), option.help


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in COMMANDS:
        assert f"[`replant {name}`](docs/commands/{name}.md)" in readme


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")), ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
