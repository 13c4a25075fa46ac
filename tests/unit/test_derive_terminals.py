"""Controlling terminals in derivations; and their rules, with every outcome, against the running kernel."""

from __future__ import annotations

import ast
import errno
import fcntl
import os
import pty
import signal
import struct
import termios
from contextlib import suppress
from typing import Any

import pytest

from replant.derive import process_tree
from replant.derive.linux.explain import explain
from replant.derive.linux.target import Impossible
from replant.derive.linux.terminals import TERMINAL_RULES, Controlled, weave
from replant.derive.rules import Rule, attempt
from replant.observe import procfs

Op = tuple[Any, ...]

TREE = [(10, 1, 10, 10), (11, 10, 11, 10), (12, 10, 12, 10), (13, 12, 13, 13), (14, 10, 10, 10)]


def woven(wanted: dict[int, tuple[int, int]], tree: list[tuple[int, ...]] | None = None) -> Any:
    tasks = [dict(zip(("pid", "ppid", "pgid", "sid"), task, strict=True)) for task in tree or TREE]
    found = process_tree(tasks)
    weave(found, wanted)
    return found


def test_a_leader_takes_it_before_it_has_children() -> None:
    found = woven(dict.fromkeys((10, 11, 12, 14), (7, 11)))
    ops = found.ops
    assert ops.index((10, "ctty", 7)) == ops.index((10, "setsid")) + 1 < ops.index((10, "fork", 11))
    assert ops.index((10, "foreground", 7, 11)) > ops.index((11, "setpgid", 11, 11))
    place = ops.index((10, "foreground", 7, 11))
    assert any(ops[i] == (11, "setpgid", 11, 11) for i in found.dependencies()[place])
    assert "TIOCSPGRP" in explain(found, 10)


def test_whoever_had_none_gives_it_up() -> None:
    ops = woven(dict.fromkeys((10, 11, 12), (7, 0))).ops
    assert (14, "noctty", 7) in ops and not any(op[1] == "foreground" for op in ops)


def test_a_foreground_group_that_is_gone_is_there_for_a_moment() -> None:
    ops = woven(dict.fromkeys((10, 11, 12, 14), (7, 99))).ops
    at = ops.index((10, "fork", 99))
    assert ops[at : at + 4] == [(10, "fork", 99), (10, "foreground", 7, 99), (99, "exit", 0), (10, "wait", 99)]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({11: (7, 0)}, "the leader of its session"),
        ({10: (7, 13), 11: (7, 0), 12: (7, 0), 14: (7, 0)}, "in the actor's session"),
        ({10: (7, 0), 11: (7, 0), 12: (7, 0), 14: (7, 0), 13: (7, 0)}, "controls nobody"),
    ],
    ids=["without the leader", "a group of another session", "two sessions"],
)
def test_what_cannot_be_is_told(wanted: dict[int, tuple[int, int]], why: str) -> None:
    with pytest.raises(Impossible) as impossible:
        woven(wanted)
    assert why in impossible.value.why and impossible.value.core


#: operations, of which the last one is tried on both sides; then by whom terminal 7 and 8 are had
CASES: dict[str, list[Op]] = {
    "a leader takes it": [(1, "fork", 10), (10, "setsid"), (10, "ctty", 7)],
    "nobody else": [(1, "fork", 10), (10, "setsid"), (10, "fork", 11), (11, "ctty", 7)],
    "only one": [(1, "fork", 10), (10, "setsid"), (10, "ctty", 7), (10, "ctty", 8)],
    "none that has somebody": [
        *((1, "fork", 10), (10, "setsid"), (10, "ctty", 7)),
        *((1, "fork", 11), (11, "setsid"), (11, "ctty", 7)),
    ],
    "children have it": [(1, "fork", 10), (10, "setsid"), (10, "ctty", 7), (10, "fork", 11), (11, "fork", 12)],
    "elder ones do not": [(1, "fork", 10), (10, "setsid"), (10, "fork", 11), (10, "ctty", 7)],
    "a new session has none": [(1, "fork", 10), (10, "setsid"), (10, "ctty", 7), (10, "fork", 11), (11, "setsid")],
    "one gives it up": [(1, "fork", 10), (10, "setsid"), (10, "ctty", 7), (10, "fork", 11), (11, "noctty", 7)],
    "all lose it": [(1, "fork", 10), (10, "setsid"), (10, "ctty", 7), (10, "fork", 11), (10, "noctty", 7)],
    "the leader dies": [(1, "fork", 10), (10, "setsid"), (10, "ctty", 7), (10, "fork", 11), (10, "exit", 0)],
    "nothing to give up": [(1, "fork", 10), (10, "setsid"), (10, "noctty", 7)],
    "another one": [(1, "fork", 10), (10, "setsid"), (10, "ctty", 7), (10, "noctty", 8)],
    "to the front": [
        *((1, "fork", 10), (10, "setsid"), (10, "ctty", 7), (10, "fork", 11)),
        *((11, "setpgid", 11, 11), (10, "foreground", 7, 11)),
    ],
    "a task that is no group": [
        *((1, "fork", 10), (10, "setsid"), (10, "ctty", 7), (10, "fork", 11), (10, "foreground", 7, 11)),
    ],
    "nobody to the front": [(1, "fork", 10), (10, "setsid"), (10, "ctty", 7), (10, "foreground", 7, 4_000_000)],
    "a stranger to the front": [
        *((1, "fork", 10), (10, "setsid"), (10, "ctty", 7), (10, "fork", 11), (11, "setsid")),
        (10, "foreground", 7, 11),
    ],
    "without a terminal": [(1, "fork", 10), (10, "setsid"), (10, "foreground", 7, 10)],
}


@pytest.mark.parametrize("case", CASES)
def test_the_kernel_agrees(case: str) -> None:
    rules, kernel = Controlled(), Kernel()
    try:
        for op in CASES[case]:
            broken = attempt(rules, TERMINAL_RULES, op)
            assert kernel.attempt(op) == (broken.verdict if broken else ""), op
        assert kernel.terminals() == {pid: rules.tty.get(pid, 0) for pid in kernel.pids if pid not in rules.dead}
        for tty, front in rules.front.items():
            assert os.tcgetpgrp(kernel.pairs[tty][0]) == kernel.pids[front]
    finally:
        kernel.end()


def test_every_condition_is_tried() -> None:
    tried = set()
    for case in CASES.values():
        state = Controlled()
        tried |= {broken for op in case if (broken := attempt(state, TERMINAL_RULES, op))}
    new = {c for name in ("ctty", "noctty", "foreground") for c in TERMINAL_RULES[name].conditions[1:]}
    assert tried == new


#: what no process can be asked to try: calls of the dead
DEAD: dict[str, list[Op]] = {
    str(op[1]): [(1, "fork", 10), (10, "setsid"), (10, "ctty", 7), (10, "exit", 0), op]
    for op in ((10, "ctty", 8), (10, "noctty", 7), (10, "foreground", 7, 10))
}


@pytest.mark.parametrize(
    ("name", "number"),
    [(n, i) for n in ("ctty", "noctty", "foreground") for i in range(len(TERMINAL_RULES[n].conditions))],
)
def test_every_precondition_matters(name: str, number: int) -> None:
    """Without it some operation that is refused, with that reason, is allowed or refused for another one."""
    mutant = {**TERMINAL_RULES, name: TERMINAL_RULES[name].without(number)}
    cases = [*CASES.values(), DEAD[name]]
    assert any(_verdicts(case, mutant) != _verdicts(case, TERMINAL_RULES) for case in cases)


def _verdicts(case: list[Op], rules: dict[str, Rule]) -> list[object]:
    state = Controlled()
    try:
        return [attempt(state, rules, op) for op in case]
    except KeyError as error:  # the effect of what should have been refused
        return [str(error)]


class Kernel:
    """The same operations by real processes, each told by a pipe of its own; ``pids`` by the numbers of the rules."""

    def __init__(self) -> None:
        self.pairs = {number: pty.openpty() for number in (7, 8)}
        self.pipes = {number: os.pipe() for number in (0, 10, 11, 12)}  # 0: the answers
        self.pids: dict[int, int] = {}

    def attempt(self, op: Op) -> str:
        """Do it; the name of the error, "" if there is none."""
        actor, name, *rest = op
        if name in ("setpgid", "foreground"):
            rest = [*rest[:-1], self.pids.get(rest[-1], rest[-1])]
        answer = self._do("fork", rest) if actor == 1 else self._ask(actor, name, rest)
        if name == "fork":
            self.pids[rest[0]] = int(answer)
            return ""
        if name == "exit":
            os.waitid(os.P_PID, self.pids[actor], os.WEXITED | os.WNOWAIT)
        return answer

    def _ask(self, actor: int, *what: object) -> str:
        os.write(self.pipes[actor][1], repr(what).encode())
        return os.read(self.pipes[0][0], 100).decode().strip()

    def _do(self, name: str, rest: list[int]) -> str:
        try:
            return str(getattr(self, f"_{name}")(*rest) or "")
        except OSError as error:
            return errno.errorcode[error.errno or 0]

    def _fork(self, number: int) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which leaders send when they give the terminal up
                while command := os.read(self.pipes[number][0], 1000):
                    name, rest = ast.literal_eval(command.decode())
                    os.write(self.pipes[0][1], (self._do(name, rest) or " ").encode())
            finally:
                os._exit(1)
        return pid

    def _setsid(self) -> None:
        os.setsid()

    def _setpgid(self, _: int, pgid: int) -> None:
        os.setpgid(0, pgid)

    def _ctty(self, tty: int) -> None:
        fcntl.ioctl(self.pairs[tty][1], termios.TIOCSCTTY, 0)

    def _noctty(self, tty: int) -> None:
        fcntl.ioctl(self.pairs[tty][1], termios.TIOCNOTTY)

    def _foreground(self, tty: int, pgid: int) -> None:
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        fcntl.ioctl(self.pairs[tty][1], termios.TIOCSPGRP, struct.pack("i", pgid))

    def _exit(self, code: int) -> None:
        os.write(self.pipes[0][1], b" ")
        os._exit(code)

    def terminals(self) -> dict[int, int]:
        """Which terminal each living process has, from procfs."""
        devices = {os.fstat(slave).st_rdev: number for number, (_, slave) in self.pairs.items()}
        found = {}
        for number, pid in self.pids.items():
            stat = procfs.stat(pid)
            if stat.state not in "ZX":
                found[number] = devices.get(stat.tty_nr, 0)
        return found

    def end(self) -> None:
        """End everybody, and reap our own children."""
        for pid in self.pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self.pids.values():
            with suppress(ChildProcessError):  # somebody else's child
                os.waitpid(pid, 0)
        for ends in (*self.pairs.values(), *self.pipes.values()):
            os.close(ends[0])
            os.close(ends[1])
