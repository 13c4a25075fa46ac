"""The order of the landing where some processes are stopped: children before parents, and no news that is none.

A process that is brought into its group-stop tells its parent, by SIGCHLD and by wait(2), once more. So it is stopped
while the parent is still a stub, and what it told is taken away from there.
"""

from __future__ import annotations

from replant.execute.landing import Landing, stop
from replant.flows.program import alive
from replant.tracee.release import second_stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.flows.program import Program
    from replant.model.tree import Model, Task

_SIGSTOP, _SIGCHLD = 19, 17


def land(program: Program, landing: Landing) -> None:
    """Bring every process down, stopped ones into their stop."""
    tasks = alive(program.model)
    by_parent: dict[int, list[Task]] = {}
    for task in reversed(tasks):
        if task.pid in by_parent:
            landing.forget(task, by_parent[task.pid], keep=_SIGCHLD in program.queued_for(task))
        if task.state == "T":
            landing.land([task])
            stop(task, _signal(program, task))
            for queue in program.second_stops(task):
                second_stop(task.pid, queue)
            by_parent.setdefault(task.ppid, []).append(task)
    landing.land([t for t in tasks if t.state != "T"])


def _signal(program: Program, task: Task) -> int:
    """Its stop signal, or SIGSTOP where that one would not stop it now: blocked, or its group is orphaned."""
    number = task.stop_signal
    blocked = program.registers(task.pid).sigmask >> number - 1 & 1
    return _SIGSTOP if blocked or _orphaned(program.model, task) else number


def _orphaned(model: Model, task: Task) -> bool:
    """Nobody of the group has a parent in the same session but another group (POSIX; setpgid(2))."""
    by_pid = {t.pid: t for t in model.tasks}
    parents = [by_pid[t.ppid] for t in model.tasks if t.pgid == task.pgid and t.ppid in by_pid]
    return not any(p.sid == task.sid and p.pgid != task.pgid for p in parents)
