"""A lazy restore from outside: what it says, what it leaves, what it does with a damaged image and with a failure."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from live import wait
from live.command import command, replant, replant_json
from live.compile import compiled
from live.loading import registered, servers, until_loaded, watchers
from live.program import Program
from replant.flows.touched import Touched

HERE = Path(__file__).parent
MIB = 1 << 20

pytestmark = pytest.mark.isolated


def uprooted(tmp_path: Path, source: str = "heap.c") -> tuple[Program, Path]:
    """A program with 32 MiB of known memory, in an image and nowhere else."""
    folder, image = tmp_path / "tree", tmp_path / "image"
    folder.mkdir()
    program = Program.start([str(compiled(HERE / source, folder))], folder)
    program.until_ready()
    replant_json("dump", program.root, "-o", image, "--kill")
    program.reap()
    return program, image


def damage(image: Path) -> None:
    """Change one byte in the middle of the heap."""
    with open(image / "pages.bin", "r+b") as file:
        file.seek(16 * MIB)
        byte = file.read(1)[0]
        file.seek(16 * MIB)
        file.write(bytes([byte ^ 1]))


def test_it_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    program, image = uprooted(tmp_path)
    with program:
        names = set(os.listdir(image))
        report = replant_json("restore", image, "--lazy", "--detach")
        assert report["bytes_later"] == 32 * MIB
        program.ask()
        until_loaded(program.root)
        program.ask()
        assert set(os.listdir(image)) == names


def test_what_was_touched_is_noted_and_comes_first(tmp_path: Path) -> None:
    program, image = uprooted(tmp_path)
    with program:
        noted = tmp_path / "noted"
        replant_json("restore", image, "--lazy", "--detach", "--working-set", noted)
        program.ask()
        until_loaded(program.root)
        first = noted.read_bytes()
        assert not Path(f"{image}.working-set").exists()
        program.kill()
        replant_json("restore", image, "--lazy", "--detach", "--working-set", noted)
        program.ask()
        until_loaded(program.root)
        assert noted.read_bytes().startswith(first)


def test_the_working_set_of_another_image_is_none(tmp_path: Path) -> None:
    path = str(tmp_path / "set")
    Touched(path, "a" * 32).save([65536, 0, 65536])
    assert Touched(path, "a" * 32).load() == [65536, 0]
    assert Touched(path, "b" * 32).load() == []
    assert Touched(str(tmp_path / "none"), "a" * 32).load() == []


def test_a_damaged_page_reaches_nobody(tmp_path: Path) -> None:
    program, image = uprooted(tmp_path)
    damage(image)
    words = command("restore", image, "--lazy", "--working-set", "null")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as restore:
        wait.until(lambda: os.path.exists(f"/proc/{program.root}"), "it is restored")
        wait.until(lambda: not servers() and not registered(program.root), "what can be loaded is loaded")
        os.kill(program.root, signal.SIGUSR1)
        _, said = restore.communicate(timeout=60)
        assert restore.returncode == 128 + signal.SIGBUS
    assert f"process {program.root}: whoever touches the damaged pages gets SIGBUS" in said
    assert "pages.bin is damaged between byte 16777216 and 18874368" in said
    journal = said.partition("(journal: ")[2].partition(")")[0]
    assert "damaged" in replant("log", journal).stdout
    os.unlink(journal)


def test_a_damaged_page_that_comes_at_once_is_refused(tmp_path: Path) -> None:
    program, image = uprooted(tmp_path)
    with open(image / "pages.bin", "r+b") as file:  # the first pages are those of the program and its library
        file.write(b"\xff" * 16)
    done = replant("restore", image, "--lazy", "--detach")
    assert done.returncode == 1
    assert "pages.bin is damaged" in done.stderr
    assert not os.path.exists(f"/proc/{program.root}")
    wait.until(lambda: not servers() and not watchers(), "what was made is undone")


def test_while_it_loads_it_cannot_be_dumped(tmp_path: Path) -> None:
    program, image = uprooted(tmp_path)
    with program:
        replant_json("restore", image, "--lazy", "--detach")
        pid = next(iter(servers()), 0)
        if not pid or not registered(program.root):
            pytest.skip("it was loaded before it could be looked at")
        for each in (pid, *watchers()):
            os.kill(each, signal.SIGSTOP)
        done = replant("dump", program.root, "-o", tmp_path / "second")
        for each in (pid, *watchers()):
            os.kill(each, signal.SIGCONT)
        assert done.returncode == 1
        assert "still loading" in done.stderr
        program.ask()
        until_loaded(program.root)


def test_no_signal_ends_all_who_load_it_at_once(tmp_path: Path) -> None:
    """As the end of a login or pkill sends them; with the last of them the program would find zeros."""
    program, image = uprooted(tmp_path)
    with program:
        replant_json("restore", image, "--lazy", "--detach", "--stop", "--working-set", "null")
        for pid in (held := [*servers(), *watchers()]):
            os.kill(pid, signal.SIGSTOP)
        assert registered(program.root)
        for pid in held:
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGCONT):
                os.kill(pid, number)
        os.kill(program.root, signal.SIGCONT)
        program.ask()
        until_loaded(program.root)


def test_a_child_gets_an_area_empty_that_was_marked_so_meanwhile(tmp_path: Path) -> None:
    """The server is held up until the program waits for it, so that the area is not loaded when it is marked."""
    program, image = uprooted(tmp_path, "wiped.c")
    with program:
        replant_json("restore", image, "--lazy", "--detach", "--stop", "--working-set", "null")
        for pid in (held := servers()):
            os.kill(pid, signal.SIGSTOP)
        os.kill(program.root, signal.SIGUSR1)
        os.kill(program.root, signal.SIGCONT)
        waits = Path(f"/proc/{program.root}/wchan")
        if held and registered(program.root):
            wait.until(lambda: "userfault" in waits.read_text(), "the program waits for the server")
        for pid in held:
            os.kill(pid, signal.SIGCONT)
        verdict = wait.file_appears(program.folder / "verdict", program.root)
        assert verdict == "ok"
        until_loaded(program.root)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_a_compressed_image(codec: str, tmp_path: Path) -> None:
    folder, image = tmp_path / "tree", tmp_path / "image"
    folder.mkdir()
    with Program.start([str(compiled(HERE / "heap.c", folder))], folder) as program:
        program.until_ready()
        replant_json("dump", program.root, "-o", image, "--kill", "--compress", codec)
        program.reap()
        assert not (image / "pages.bin").exists()
        for _ in range(2):
            report = replant_json("restore", image, "--lazy", "--detach")
            assert report["bytes_later"] == 32 * MIB
            program.ask()
            until_loaded(program.root)
            program.ask()
            program.kill()
