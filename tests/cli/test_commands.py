"""The commands on a live tree, as a person runs them: what they print, what they leave, what they refuse."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from live import wait
from live.command import command, replant, replant_json
from live.program import Program, tree
from live.roundtrip import state

pytestmark = pytest.mark.isolated

PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(21))
held = open('held', 'w+')
held.write('twelve bytes')
held.flush()
if os.fork() == 0:
    signal.pause()
open('ready.part', 'w').write('x')
os.rename('ready.part', 'ready')
while True:
    signal.pause()
"""


@contextmanager
def running(tmp_path: Path) -> Iterator[Program]:
    """A Python with a child and an open file."""
    folder = tmp_path / "tree"
    folder.mkdir()
    with Program.start([sys.executable, "-I", "-S", "-c", PROGRAM], folder) as program:
        program.until_ready()
        yield program


@contextmanager
def dumped(tmp_path: Path) -> Iterator[tuple[Program, Path]]:
    """The same tree, dumped and gone; what is restored of it ends with the block."""
    with running(tmp_path) as program:
        replant_json("dump", program.root, "-o", tmp_path / "image", "--kill")
        program.reap()
        yield program, tmp_path / "image"


def test_a_dumped_tree_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        before = tree(program.root)
        report = replant_json("dump", program.root, "-o", tmp_path / "image")
        assert report["image"] == str(tmp_path / "image")
        assert (report["root_pid"], report["tasks"], report["threads"]) == (program.root, 2, 2)
        assert report["bytes_written"] >= report["pages_written"] * 4096 > 0
        assert 0 < report["frozen_ms"] < report["total_ms"]
        assert tree(program.root) == before
        wait.until(lambda: state(program.root) == "S", "it sleeps again")


def test_stop_leaves_it_stopped(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        replant_json("dump", program.root, "-o", tmp_path / "image", "--stop")
        assert [state(pid) for pid in tree(program.root)] == ["T", "T"]
        for pid in tree(program.root):
            os.kill(pid, signal.SIGCONT)
        wait.until(lambda: state(program.root) == "S", "it goes on")


def test_detached_with_a_pidfile(tmp_path: Path) -> None:
    with dumped(tmp_path) as (program, image):
        report = replant_json("restore", image, "--detach", "--pidfile", tmp_path / "pid")
        assert (report["root_pid"], report["tasks"]) == (program.root, 2)
        assert (tmp_path / "pid").read_text() == f"{program.root}\n"
        assert Path(f"/proc/{program.root}/stat").read_text().split()[3] == "1", "it does not belong to init"
        assert os.path.getsize(program.folder / "held") == 12


def test_in_the_foreground_signals_pass_and_the_status_comes_back(tmp_path: Path) -> None:
    with dumped(tmp_path) as (program, image):
        stayer = subprocess.Popen(command("restore", image), stdout=subprocess.PIPE, text=True)
        wait.until(lambda: program.root in map(int, children(stayer.pid)), "the root is the command's child")
        wait.until(lambda: state(program.root) == "S", "it runs")
        os.kill(stayer.pid, signal.SIGTERM)
        assert stayer.wait(30) == 21


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_check_of_a_tree_and_an_image(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        assert replant_json("check", program.root) == {
            "target": program.root, "ok": True, "features": [], "blockers": [],
        }  # fmt: skip
        image = tmp_path / "image"
        replant_json("dump", program.root, "-o", image)
        taken = replant_json("check", image, expect=1)
        assert {b["pid"] for b in taken["blockers"] if b["code"] == "pid-taken"} == set(tree(program.root))
        program.kill()
        wait.until(lambda: replant("check", image).returncode == 0, "the pids are free")
        with open(program.folder / "held", "a") as held:
            held.write("more")
        changed = replant_json("check", image, expect=1)["blockers"]
        assert len(changed) == 1
        assert str(program.folder / "held") in changed[0]["error"] + str(changed[0]["resource"])
        assert changed[0]["hint"]


def test_a_changed_file_is_refused_and_nothing_made(tmp_path: Path) -> None:
    with dumped(tmp_path) as (program, image):
        (program.folder / "held").write_text("other contents")
        document = replant_json("restore", image, "--detach", expect=1)
        assert document["code"] == "refused"
        assert not os.path.exists(f"/proc/{program.root}")


def test_show_for_people_and_for_programs(tmp_path: Path) -> None:
    with dumped(tmp_path) as (program, image):
        shown = replant("show", image)
        assert shown.returncode == 0, shown.stderr
        text = shown.stdout
        assert text.startswith("2 tasks, 2 threads")
        assert f"{program.root} python" in text
        assert "session leader" in text
        assert str(program.folder / "held") in text
        assert len(replant("show", image, "-v").stdout.splitlines()) > len(text.splitlines()) + 20
        model = replant_json("show", image)
        assert model["root"] == program.root
        assert {"tasks", "mms", "tables", "files", "attributes"} <= model.keys()


def test_diff_of_what_is_the_same_and_what_is_not(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        image = tmp_path / "image"
        replant_json("dump", program.root, "-o", image)
        assert replant_json("diff", image, program.root) == {"differences": []}
        child = tree(program.root)[1]
        os.kill(child, signal.SIGKILL)
        wait.until(lambda: state(child) == "Z", "the child is dead")
        found = replant_json("diff", image, program.root, expect=1)["differences"]
        assert found
        assert all(d["where"].startswith(f"task {child}") for d in found), found
        assert f"task {child}" in replant("diff", image, program.root).stdout


def test_plan_has_a_reason_for_every_call(tmp_path: Path) -> None:
    with dumped(tmp_path) as (program, image):
        rows = replant_json("plan", image)
        actors = {str(row["actor"]) for row in rows}
        assert str(program.root) in actors
        assert all(row["call"] and row["why"] for row in rows)
        text = replant("plan", image).stdout
        assert f"\n{program.root}:\n" in "\n" + text
        only = replant("plan", image, "--pid", program.root).stdout
        assert 0 < len(only) < len(text)


def test_plan_tells_why(tmp_path: Path) -> None:
    with dumped(tmp_path) as (program, image):
        told = replant("plan", image, "--explain", program.root).stdout
        assert f"set_tid=[{program.root}]" in told
        assert re.search(r"^credentials after .*limits.*: privilege \(", told, re.MULTILINE)
        assert replant_json("plan", image, "--explain", program.root) == told.splitlines()
        assert replant("plan", image, "--explain", 1).returncode == 2
        assert f'{program.root} [label="{program.root} ppid 0 ' in replant("plan", image, "--dot").stdout
        assert f">{program.root} ppid 0 " in replant("plan", image, "--svg").stdout


def test_a_core_that_gdb_opens(tmp_path: Path) -> None:
    with dumped(tmp_path) as (program, image):
        report = replant_json("export", "core", image, "-o", tmp_path / "core")
        assert report["pid"] == program.root
        gdb = shutil.which("gdb")
        if not gdb:
            pytest.skip("gdb is not installed")
        words = ["-batch", "-ex", "info threads", "-ex", "info auxv", "-ex", "x/8xb $rsp", "-ex", "info registers rip"]
        done = subprocess.run(
            [gdb, "-nx", "-q", *words, os.path.realpath(sys.executable), str(tmp_path / "core")],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "AT_SYSINFO_EHDR" in done.stdout, done.stderr
        assert f"LWP {program.root}" in done.stdout
        assert "Cannot access memory" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("dump 3999999 -o {}/image", 1),
        ("restore {}/missing --detach", 1),
        ("show /etc", 1),
        ("diff {}/missing {}/missing", 1),
        ("check {}/missing", 1),
        ("check 3999999", 1),
        ("export core {}/missing -o {}/core", 1),
        ("export coredump {}/missing -o {}/core", 2),
    ],
)
def test_what_is_not_there_is_said_so(words: str, code: int, tmp_path: Path) -> None:
    document = replant_json(*(word.replace("{}", str(tmp_path)) for word in words.split()), expect=code)
    assert document["error"]
    assert document["code"] not in ("bug", "failed")
    assert list(tmp_path.iterdir()) == []


def test_demo(tmp_path: Path) -> None:
    """It works, and leaves nothing: no process, no file."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command("demo", "--json"), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"]
    assert document["number_after"] > document["number_before"]
    assert list(tmp_path.iterdir()) == []
    assert not os.path.exists(f"/proc/{document['root_pid']}")
