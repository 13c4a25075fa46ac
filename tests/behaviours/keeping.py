"""A program that has some of `held` is uprooted and replanted, and finds them as they were; or is refused, unharmed."""

from __future__ import annotations

import sys
from pathlib import Path

from live import wait
from live.command import replant, replant_json
from live.program import Program
from replant.abi import x86_64

_HERE = Path(__file__).parent


def start(folder: Path, *words: str) -> Program:
    """The program in a new directory below ``folder``, up and content."""
    tree = folder / "tree"
    tree.mkdir()
    paths = ":".join(map(str, (_HERE, _HERE.parent / "programs", _HERE.parents[1] / "src")))
    program = Program.start([sys.executable, "-m", "held", *words], tree, {"PYTHONPATH": paths})
    try:
        program.until_ready()
        ask(program)
    except BaseException:
        program.kill()
        raise
    return program


def ask(program: Program) -> None:
    """Have it check itself, and wait until it is at rest."""
    program.ask()
    waits = f"{x86_64.rt_sigtimedwait} "
    wait.until(lambda: Path(f"/proc/{program.root}/syscall").read_text().startswith(waits), "it waits for a signal")


def kept(folder: Path, *words: str, options: tuple[str, ...] = (), times: int = 2) -> None:
    """Through ``times`` dumps and restores, each checked by the program itself."""
    with start(folder, *words) as program:
        through(program, folder, options, times)


def through(program: Program, folder: Path, options: tuple[str, ...] = (), times: int = 2) -> None:
    """Uproot, replant and ask it, ``times`` times."""
    for turn in range(times):
        image = folder / f"image{turn}"
        replant_json("dump", program.root, "-o", image, "--kill", *options)
        program.reap()
        replant_json("restore", image, "--detach")
        ask(program)


def refused(folder: Path, *words: str, naming: str, options: tuple[str, ...] = ()) -> None:
    """The dump says ``naming``, and the program is as before."""
    with start(folder, *words) as program:
        done = replant("dump", program.root, "-o", folder / "image", *options)
        assert done.returncode == 1 and naming in done.stderr, f"{done.returncode}: {done.stderr}"
        assert not (folder / "image").exists()
        ask(program)
