"""The command line as a whole: exit codes, where errors are told, what ``--json`` promises, how fast it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from live.command import command, replant
from replant.cli import main as program
from replant.errors import Blocker, Refused, ReplantError


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def dispatch(_: Sequence[str]) -> int:
        raise error

    monkeypatch.setattr(program, "_dispatch", dispatch)


def test_an_error_is_told_with_where_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_with(monkeypatch, ReplantError("it is locked", code="locked", pid=12, resource="fd 3", hint="unlock it"))
    assert program.main(["dump"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "replant: it is locked (task 12, fd 3)\n  try: unlock it\n"


def test_all_blockers_are_told_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    blockers = [Blocker(f"reason {n}", code="no", pid=n + 70, resource=f"fd {n}", hint=f"do {n}") for n in (3, 4, 5)]
    fails_with(monkeypatch, Refused("the tree of 3 cannot be dumped", blockers))
    assert program.main(["dump", "--json"]) == 1
    out, err = capsys.readouterr()
    for n in (3, 4, 5):
        assert f"  - reason {n} (task {n + 70}, fd {n})\n    try: do {n}\n" in err
    document = json.loads(out)
    assert document["code"] == "refused"
    assert [b["resource"] for b in document["blockers"]] == ["fd 3", "fd 4", "fd 5"]


def test_what_nobody_expected_is_a_bug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fails_with(monkeypatch, ZeroDivisionError("by nought"))
    assert program.main(["dump", "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["code"] == "bug"
    path = err.strip().rpartition(" ")[2]
    try:
        with open(path) as file:
            text = file.read()
        assert "ZeroDivisionError: by nought" in text
        assert os.stat(path).st_mode & 0o077 == 0, "others can read it"
    finally:
        os.unlink(path)


@pytest.mark.parametrize(
    "words",
    [["nosuch"], ["dump"], ["dump", "12"], ["dump", "-o", "x", "y"], ["plan"], ["restore"], ["check", "a", "b"]],
)
def test_wrong_usage_is_2_and_a_document_all_the_same(words: list[str]) -> None:
    done = replant(*words, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["code"] == "usage"
    assert done.stderr.startswith("replant: ")


@pytest.mark.parametrize("name", program.COMMANDS)
def test_every_command_has_help(name: str) -> None:
    done = replant(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: replant {name}")


def test_overview_and_version() -> None:
    import replant as package

    assert replant("--version").stdout == f"replant {package.__version__}\n"
    overview = replant().stdout
    assert overview == replant("--help").stdout
    for name in program.COMMANDS:
        assert f"\n  {name:<9}" in overview


def test_output_into_a_closed_pipe_is_no_bug() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(command("check"), stdout=write_end, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(write_end)
    assert b"bug" not in done.stderr
    assert done.returncode in (0, 1)


SLOW = ("argparse", "json", "re", "logging", "typing", "dataclasses", "pathlib", "enum", "inspect", "contextlib")


@pytest.mark.parametrize("words", [["dump", "4194304", "-o", "/nonexistent/image"], ["restore", "/nonexistent"]])
def test_nothing_slow_is_imported_on_the_way(words: list[str]) -> None:
    code = """
import sys
before = set(sys.modules)
from replant.cli.main import ReplantError, _dispatch
try:
    _dispatch(sys.argv[1:])
except ReplantError:  # telling it may take its time
    print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "replant.journal.lane" in loaded and not loaded & set(SLOW)
