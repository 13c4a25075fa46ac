"""``restore --new-pids``: one image runs many times at once, each time in a pid namespace of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from live import wait
from live.command import command, replant, replant_json
from live.program import Program, tree
from live.roundtrip import unchanged
from replant.execute import init
from tracee.assemble import assemble

pytestmark = pytest.mark.isolated

# A shell with a job: it counts in its own directory, and knows its numbers and those of its job.
SHELL = """
sleep 1000 & job=$!
trap 'echo $$ $job > asked.tmp; mv asked.tmp asked' USR1
trap 'kill $job; exit 7' TERM
touch ready.tmp; echo > ready.tmp; mv ready.tmp ready
while :; do wait; done
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "image"


def planted(folder: Path, image: Path, script: str = SHELL) -> int:
    """Make the image of a shell, which is gone then; its pid."""
    with Program.start(["sh", "-c", script], folder) as program:
        program.until_ready()
        replant_json("dump", program.root, "-o", image, "--kill")
        program.reap()
        return program.root


def numbers(pid: int) -> list[int]:
    """The numbers of a process, from those of our namespace to those of its own."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [int(n) for line in lines if line.startswith("NSpid:") for n in line.split()[1:]]


def test_the_bytes_of_init_are_those_of_the_source() -> None:
    assert assemble(Path(init.__file__).with_suffix(".S"))[0] == init.CODE


def test_one_image_runs_three_times_at_once(tmp_path: Path, image: Path) -> None:
    root = planted(tmp_path, image)
    before = {f.name: f.read_bytes() for f in image.iterdir()}
    running = [replant_json("restore", image, "--new-pids", "--detach") for _ in range(3)]
    assert len({r["root_pid"] for r in running}) == 3
    for r in running:
        assert r["inner_pid"] == root
        assert numbers(r["root_pid"]) == [r["root_pid"], root]
        assert numbers(r["init_pid"]) == [r["init_pid"], 1]
        unchanged(image, r["root_pid"])
        os.kill(r["root_pid"], signal.SIGUSR1)
        said = wait.file_appears(tmp_path / "asked", r["root_pid"]).split()
        assert said == [str(root), str(root + 1)]
        (tmp_path / "asked").unlink()
    assert {f.name: f.read_bytes() for f in image.iterdir()} == before
    for r in running:
        os.kill(r["root_pid"], signal.SIGTERM)
        wait.end_of(r["init_pid"])


def test_nothing_of_the_restorer_stays(tmp_path: Path, image: Path) -> None:
    planted(tmp_path, image)
    made = replant_json("restore", image, "--new-pids", "--detach")
    init = Path(f"/proc/{made['init_pid']}")
    wait.until(lambda: comm(made["init_pid"]) == "replant-init", "it gives itself its name, after exec")
    assert list((init / "fd").iterdir()) == []
    assert os.readlink(init / "cwd") == "/"
    mapped = {line.split()[-1] for line in (init / "maps").read_text().splitlines()}
    assert not any("python" in name for name in mapped)
    inside = [n for n in tree(made["init_pid"]) if numbers(n)[1:]]
    assert sorted(inside) == sorted([made["init_pid"], *tree(made["root_pid"])])
    os.kill(made["root_pid"], signal.SIGKILL)
    wait.end_of(made["init_pid"])


def test_proc_is_the_namespaces_own(tmp_path: Path, image: Path) -> None:
    root = planted(tmp_path, image)
    made = replant_json("restore", image, "--new-pids", "--detach")
    script = "cat /proc/1/comm; for p in /proc/[0-9]*; do echo ${p#/proc/}; done; readlink /proc/self/ns/mnt"
    wait.until(lambda: inside(made["root_pid"], "sh", "-c", script)[0] == "replant-init", "the init is ours")
    seen = inside(made["root_pid"], "sh", "-c", script)
    assert {"1", str(root), str(root + 1)} <= set(seen)
    assert seen[-1] != os.readlink("/proc/self/ns/mnt")
    assert Path("/proc/1/comm").read_text() != "replant-init\n"
    os.kill(made["root_pid"], signal.SIGKILL)
    wait.end_of(made["init_pid"])


def inside(pid: int, *argv: str) -> list[str]:
    """The lines that a command in the namespaces of a process prints."""
    words = ["nsenter", "-t", str(pid), "-p", "-m", *argv]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


def test_again_from_outside_and_from_inside(tmp_path: Path, image: Path) -> None:
    root = planted(tmp_path, image)
    made = replant_json("restore", image, "--new-pids", "--detach")
    assert replant_json("check", made["root_pid"])["blockers"] == []
    again, third = tmp_path / "again", tmp_path / "third"
    report = replant_json("dump", made["root_pid"], "-o", again)
    assert report["root_pid"] == made["root_pid"]
    done = inside(made["root_pid"], *command("dump", root, "-o", third, "--json"))
    assert json.loads(done[0])["root_pid"] == root
    for other in (again, third):
        assert replant_json("diff", image, other)["differences"] == []
    replant_json("dump", made["root_pid"], "-o", again, "--kill")
    wait.end_of(made["init_pid"])
    back = replant_json("restore", again, "--detach")  # in our namespace, under the numbers that it always knew
    assert back["root_pid"] == back["inner_pid"] == root
    os.kill(root, signal.SIGTERM)
    wait.end_of(root)


def test_the_status_of_the_root_becomes_the_commands(tmp_path: Path, image: Path) -> None:
    planted(tmp_path, image)
    process, made = stay(tmp_path, image)
    assert (tmp_path / "pid").read_text() == f"{made['root_pid']}\n"
    process.terminate()  # is passed on
    assert process.wait(30) == 7
    assert not os.path.exists(f"/proc/{made['init_pid']}")


def test_a_signal_that_kills_the_root(tmp_path: Path, image: Path) -> None:
    planted(tmp_path, image)
    process, made = stay(tmp_path, image)
    os.kill(made["root_pid"], signal.SIGKILL)
    assert process.wait(30) == 128 + signal.SIGKILL


def stay(folder: Path, image: Path) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """``restore --new-pids`` in the foreground, and its report."""
    words = command("restore", image, "--new-pids", "--json", "--pidfile", folder / "pid")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def test_init_passes_on_what_comes_from_outside(tmp_path: Path, image: Path) -> None:
    planted(tmp_path, image)
    process, made = stay(tmp_path, image)
    inside(made["root_pid"], "sh", "-c", "kill -USR1 1; kill -TERM 1")  # what comes from inside does not count
    os.kill(made["init_pid"], signal.SIGUSR1)
    wait.file_appears(tmp_path / "asked", made["root_pid"])
    os.kill(made["init_pid"], signal.SIGTERM)
    assert process.wait(30) == 7


def test_orphans_are_reaped(tmp_path: Path, image: Path) -> None:
    script = """
    trap '(sh -c "echo \\$\\$ > orphan; exit 3" &)' USR1
    echo > ready.tmp; mv ready.tmp ready; sleep 1000 & while :; do wait; done"""
    planted(tmp_path, image, script)
    made = replant_json("restore", image, "--new-pids", "--detach")
    os.kill(made["root_pid"], signal.SIGUSR1)
    wait.file_appears(tmp_path / "orphan", made["root_pid"])
    wait.until(lambda: len(tree(made["init_pid"])) == 3, "init, the shell and its job are alone")
    os.kill(made["root_pid"], signal.SIGKILL)
    wait.end_of(made["init_pid"])


def test_a_restore_that_fails_leaves_nothing(tmp_path: Path, image: Path) -> None:
    script = "exec 5<gone; echo > ready.tmp; mv ready.tmp ready; sleep 1000 & while :; do wait; done"
    (tmp_path / "gone").write_text("x")
    planted(tmp_path, image, script)
    before = set(os.listdir("/proc"))
    (tmp_path / "gone").unlink()
    done = replant("restore", image, "--new-pids", "--detach", "--json")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (1, "refused"), done.stderr
    assert {n for n in set(os.listdir("/proc")) - before if n.isdigit()} == set()


def test_a_restore_that_is_killed_leaves_nothing(tmp_path: Path, image: Path) -> None:
    """Killed while the namespace exists: at the moment its first process does."""
    planted(tmp_path, image)
    process = subprocess.Popen(command("restore", image, "--new-pids", "--detach"))
    wait.until(lambda: any(numbers(n)[1:] for n in tree(process.pid)) or process.poll() is not None, "a namespace")
    process.kill()
    process.wait()
    wait.until(lambda: settled(image), "there is all of a tree, or nothing")


def settled(image: Path) -> bool:
    """Whether no process is left in a namespace, or an init with the whole tree."""
    names = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if numbers(int(name))[1:]:
                names.append(Path(f"/proc/{name}/comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            return False
    return sorted(names) in ([], ["replant-init", "sh", "sleep"])


def test_the_first_process_of_a_namespace_is_refused(tmp_path: Path) -> None:
    words = ["unshare", "-fp", "--mount-proc", "sleep", "1000"]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait.until(lambda: [n for n in tree(process.pid) if comm(n) == "sleep"], "it runs")
        first = next(n for n in tree(process.pid) if comm(n) == "sleep")
        (blocker,) = replant_json("check", first, expect=1)["blockers"]
        assert blocker["code"] == "namespace-init"
    finally:
        process.kill()
        process.wait()


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
