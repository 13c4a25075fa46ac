"""The option parser: what is accepted, what is refused, in which words."""

from __future__ import annotations

import pytest

from replant.cli.options import Argument, Command, HelpWanted, Option, is_pid, parse
from replant.errors import UsageError

COMMAND = Command(
    "plant",
    "Plant things.",
    [Argument("WHAT", "the thing"), Argument("WHERE", "the place", "optional")],
    [
        Option("-o --output", "a file", value="FILE"),
        Option("--how", "the way", value="WAY", choices=("deep", "flat")),
        Option("-d --dry", "without water"),
    ],
)
MANY = Command("water", "Water things.", [Argument("WHAT", "things", "many")])


@pytest.mark.parametrize(
    "typed",
    [
        ["tree", "-o", "x"],
        ["tree", "-ox"],
        ["tree", "--output", "x"],
        ["--output=x", "tree"],
        ["--output=first", "-o", "x", "--", "tree"],
    ],
)
def test_an_option_with_a_value_in_every_spelling(typed: list[str]) -> None:
    words = parse(COMMAND, typed)
    assert (words.text("output"), words.argument("WHAT")) == ("x", "tree")


def test_what_was_not_typed() -> None:
    words = parse(COMMAND, ["tree"])
    assert not words.flag("dry")
    assert not words.flag("json")
    assert words.text("output", "default") == "default"
    assert words.argument("WHERE") == ""
    assert words.number("how") is None


def test_switches_and_words_in_any_order() -> None:
    words = parse(COMMAND, ["-d", "tree", "--json", "garden", "-v"])
    assert words.flag("dry")
    assert words.flag("json")
    assert words.flag("verbose")
    assert (words.argument("WHAT"), words.argument("WHERE")) == ("tree", "garden")


def test_words_after_two_dashes_are_no_options() -> None:
    assert parse(MANY, ["a", "--", "-b", "--json"]).arguments("WHAT") == ["a", "-b", "--json"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([], "WHAT is missing"),
        (["a", "b", "c"], "one word too many: 'c'"),
        (["a", "--no"], "unknown option --no"),
        (["a", "-x"], "unknown option -x"),
        (["a", "-o"], "-o wants a FILE"),
        (["a", "--how", "high"], "--how is one of deep, flat, not 'high'"),
        (["a", "--dry=yes"], "--dry takes no value"),
    ],
)
def test_wrong_words_are_named(typed: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=r"^plant: ") as error:
        parse(COMMAND, typed)
    assert said in str(error.value)
    assert error.value.exit_code == 2
    assert "replant plant --help" in error.value.hint


def test_numbers_and_pids() -> None:
    words = parse(COMMAND, ["12", "image", "-o", "7"])
    assert (words.pid("WHAT"), words.number("output")) == (12, 7)
    assert (words.target("WHAT"), words.target("WHERE")) == (12, "image")
    with pytest.raises(UsageError, match="WHERE must be the number of a process, not 'image'"):
        words.pid("WHERE")
    with pytest.raises(UsageError, match="--output wants a number, not 'x'"):
        parse(COMMAND, ["12", "-o", "x"]).number("output")


@pytest.mark.parametrize(("typed", "expected"), [("1", True), ("0", False), ("-1", False), ("x", False), ("٣", False)])
def test_what_is_a_pid(typed: str, expected: bool) -> None:
    assert is_pid(typed) is expected


def test_help_shows_every_word() -> None:
    with pytest.raises(HelpWanted) as text:
        parse(COMMAND, ["--help"])
    for word in (
        "replant plant [options] WHAT [WHERE]",
        "Plant things.",
        "-o, --output FILE",
        "--how WAY",
        "the place",
    ):
        assert word in str(text.value)
