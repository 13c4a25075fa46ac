"""Dump, kill, restore, compare, ask: what every kind and every program must get through, in every mode."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from live import wait
from live.command import replant, replant_json
from live.loading import until_loaded
from live.program import Program, tree

BASE = "base"
"""In the words of a dump: an image made just before, with --track, after which the program has gone on."""


class Mode:
    """A way to dump and to restore, and the user the program runs as; the same tests run in every one."""

    def __init__(
        self, dump: tuple[str, ...] = ("--kill",), restore: tuple[str, ...] = ("--detach",), user: int | None = None
    ) -> None:
        self.dump = dump
        self.restore = restore
        self.user = user

    def prepare(self, folder: Path) -> None:
        """In the namespaces of a test: let programs be the user's, and reach their ``folder``."""
        Program.user = self.user
        if self.user is not None:
            give(folder, self.user)


MODES = {
    "plain": Mode(),
    "stop": Mode(dump=("--stop",), restore=("--detach", "--stop")),
    "running": Mode(dump=()),
    "new-pids": Mode(restore=("--detach", "--new-pids")),
    "unprivileged": Mode(user=65534),
    "snapshot": Mode(dump=("--snapshot",)),
    "compressed": Mode(dump=("--kill", "--compress", "zstd")),
    "lazy": Mode(restore=("--detach", "--lazy")),
    "incremental": Mode(dump=("--kill", "--parent", BASE)),
}
_STOPPED = ("task: state was 'R', is 'T'", "task: stop_signal was 0, is 19")
every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
_PRIVILEGED = {name: mode for name, mode in MODES.items() if mode.user is None}
every_privileged_mode = pytest.mark.parametrize("mode", _PRIVILEGED.values(), ids=_PRIVILEGED)
"""For programs that need to be root: they change what only root can change."""


def roundtrip(
    program: Program,
    check: Callable[[], None],
    mode: Mode = MODES["plain"],
    times: int = 2,
    options: tuple[str, ...] = (),
    moving: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """Uproot and replant ``times`` times in a row; after each, the tree equals the image and passes its own check.

    ``options`` are further words for every dump. ``moving`` names the kinds that the program changes by itself as it
    runs: where it is not stopped, they are not compared. Returns the reports of the dumps and the restores, in order.
    """
    reports = []
    for turn in range(times):
        image = program.folder.with_name(f"{program.folder.name}.image{turn}")
        reports.append(uproot(program, image, (*mode.dump, *options), check))
        reports.append(replant_json("restore", image, *mode.restore))
        program.root = reports[-1]["root_pid"]
        if "--lazy" in mode.restore:
            until_loaded(program.root)
        if "--stop" in mode.restore:
            wait.until(lambda: state(program.root) == "T", "the root is stopped")
            # Children that are stopped tell their parents, who are stopped as well: SIGCHLD is pending there.
            unchanged(image, program.root, stopped=True, but=("pending",) if len(tree(program.root)) > 1 else ())
            go_on(program)
        else:
            unchanged(image, program.root, but=moving)
        check()
    return reports


def uproot(program: Program, image: Path, words: tuple[str, ...], check: Callable[[], None]) -> dict[str, Any]:
    """Dump the tree; where the mode lets it live, make sure that it does, then end it all the same."""
    words = _based(program, image, words, check)
    report: dict[str, Any] = replant_json("dump", program.root, "-o", image, *words)
    if "--kill" in words:
        program.reap()
        return report
    if "--stop" in words:
        # It takes its SIGSTOP before any instruction, and when it gets to run.
        wait.until(lambda: state(program.root) == "T", "the program is stopped")
    else:
        check()  # it went on, so it is no longer what the image holds: dump once more, for good
        again = image.with_name(image.name + ".last")
        report = replant_json("dump", program.root, "-o", again, "--stop", *words)
        os.rename(image, image.with_name(image.name + ".first"))
        os.rename(again, image)
    program.kill()
    return report


def _based(program: Program, image: Path, words: tuple[str, ...], check: Callable[[], None]) -> tuple[str, ...]:
    """The words with a real image in the place of `BASE`."""
    if BASE not in words:
        return words
    base = f"{image}.base"
    others = [word for word in words if word not in ("--kill", "--parent", BASE)]
    replant_json("dump", program.root, "-o", base, "--track", *others)
    check()
    return tuple(base if word == BASE else word for word in words)


def unchanged(image: Path, pid: int, *, stopped: bool = False, but: tuple[str, ...] = ()) -> None:
    """Fail with every difference between an image and a tree that runs, or has not run yet since it was ``stopped``.

    Differences of the kinds in ``but`` are left out.
    """
    done = replant("diff", image, pid, "--json")
    answer = json.loads(done.stdout)
    assert "differences" in answer, done.stderr
    differences = [d for d in answer["differences"] if d["kind"] not in but]
    found = [f"{d['where']} {d['kind']}: {d['what']}" for d in differences]
    if stopped:
        found = [line for line in found if not line.endswith(_STOPPED)]
    assert not found, "the restored tree differs from the image:\n" + "\n".join(found)


def give(folder: Path, user: int) -> None:
    """Make a folder below a private one reachable: its parents are replaced in this mount namespace, it is the user's.

    pytest keeps all that is its own from others (mode 0700), and looks after that.
    """
    private = next((p for p in reversed(folder.parents) if not p.stat().st_mode & 0o001), None)
    if private is None:
        os.chown(folder, user, user)
        return
    aside = os.open(folder, os.O_PATH)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", private], check=True)
    folder.mkdir(parents=True)
    subprocess.run(["mount", "--bind", f"/proc/{os.getpid()}/fd/{aside}", folder], check=True)
    os.close(aside)
    os.chown(folder, user, user)


def go_on(program: Program) -> None:
    """Let a stopped tree run; who has been let may have ended before the last is."""
    for pid in tree(program.root):
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            continue


def state(pid: int) -> str:
    """The state letter of /proc/PID/stat."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
