"""``replant log``, and how little the journal costs a program that starts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from replant.cli.log import main
from replant.errors import ReplantError, UsageError
from replant.journal import DEBUG, Journal, site, sites

DETAIL = site("detail", "number %d", level=DEBUG)
NEWS = site("news", "of %s")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    with Journal.create(str(tmp_path / "journal")) as journal:
        NEWS(journal, "the day")
        with journal.phase("pages"):
            DETAIL(journal, 5)
        journal.failure(ReplantError("it broke", code="broken", hint="mend it"))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out.splitlines()


def test_an_image_and_a_file_are_read_alike(image: Path, capsys: pytest.CaptureFixture[str]):
    lines = run(capsys, image)
    assert lines == run(capsys, image / "journal")
    assert any("news: of the day" in line for line in lines) and not any("detail" in line for line in lines)


def test_options(image: Path, capsys: pytest.CaptureFixture[str]):
    assert any("detail: number 5" in line for line in run(capsys, image, "--level", "debug"))
    assert len(run(capsys, image, "--kind", "news")) == 1
    assert len(run(capsys, image, "--level=debug", "--phase", "pages")) == 3
    assert run(capsys, image, "--phase", "no such phase") == []
    assert len(run(capsys, image, "--grep", "of the d.y$")) == 1
    assert run(capsys, image, "--until", "-1") == [] == run(capsys, image, "--since", "1000")
    assert run(capsys, image, "--why")[0] == "failed: it broke [broken]"
    assert len(run(capsys, image, "--follow")) == len(run(capsys, image))


def test_json_and_perfetto_are_documents(image: Path, capsys: pytest.CaptureFixture[str]):
    for words in (["--json"], ["--format", "json"]):
        events = json.loads("".join(run(capsys, image, *words)))["events"]
        assert [event["kind"] for event in events if event["kind"] == "detail"] == ["detail"]
    assert json.loads("".join(run(capsys, image, "--format", "perfetto")))["traceEvents"]
    only = json.loads("".join(run(capsys, image, "--json", "--grep", "the day")))["events"]
    assert [event["kind"] for event in only] == ["news"]


@pytest.mark.parametrize(
    "words", [["--error", "ENOSUCH"], ["--pid", "x"], ["--since", "noon"], ["--grep", "("], ["--format", "xml"]]
)
def test_wrong_words(image: Path, words: list[str]):
    with pytest.raises(UsageError):
        main([str(image), *words])


def test_no_journal_and_a_damaged_one(tmp_path: Path, image: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ReplantError) as none:
        main([str(tmp_path / "nothing")])
    assert none.value.code == "no-journal"
    content = bytearray((image / "journal").read_bytes())
    content[65536 + 70] ^= 1
    (image / "journal").write_bytes(content)
    with pytest.raises(ReplantError) as damaged:
        main([str(image)])
    assert damaged.value.code == "journal-damaged" and capsys.readouterr().out == ""


def test_what_was_lost_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    journal = Journal.create(str(tmp_path / "journal"))
    NEWS(journal, "today")
    assert main([str(tmp_path)]) == 0
    assert "was not closed" in capsys.readouterr().err
    journal.close()


HEAVY = {"logging", "re", "json", "dataclasses", "typing", "enum", "pathlib", "contextlib", "inspect", "argparse"}
READING = {"replant.journal.reader", "replant.journal.render", "replant.journal.events"}


def test_writing_imports_nothing_heavy():
    code = "before = set(sys.modules); import replant.journal; print(*set(sys.modules) - before)"
    words = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"]
    loaded = set(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())
    assert "replant.journal.writer" in loaded and not loaded & (HEAVY | READING)


ALONE = """
import sys
sys.path.insert(0, sys.argv[1])
import logging
from replant.journal import Journal, site
from replant.journal.bridge import JournalHandler, replay
from replant.journal.export import as_json, as_trace
from replant.journal.follow import Follower
from replant.journal.reader import Reader
from replant.journal.render import Renderer
from replant.journal.select import Selection
from replant.journal.why import why
SEEN = site("seen", "%s for the %d. time")
with Journal.create(sys.argv[1] + "/journal") as journal:
    SEEN(journal, "it", 2)
    logging.getLogger("program").addHandler(JournalHandler(journal))
    logging.getLogger("program").error("no")
with Reader(journal.path) as reader:
    for event in reader.events():
        print(event.site.kind, Renderer(reader.header).text(event))
"""


def test_another_program_may_take_the_package_alone(tmp_path: Path):
    shutil.copytree(Path(sites.__file__).parent, tmp_path / "replant/journal")
    words = [sys.executable, "-I", "-S", "-c", ALONE, str(tmp_path)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[:2] == ["seen it for the 2. time", "log program: no"]
