"""The sites that a reader of any journal understands: phases, decisions, operations, failures.

Other sites are what their words say. These have a meaning: phases become bars in a trace viewer, and from a failure
``replant log --why`` walks back over the operations, decisions and warnings about the same task.
"""

from __future__ import annotations

from replant.journal.sites import DEBUG, ERROR, INFO, WARNING, site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from replant.journal.lane import Lane

BEGUN_KIND, ENDED_KIND, BROKEN_KIND = "phase.begin", "phase.end", "phase.broken"
BEGUN = site(BEGUN_KIND, "%s")
ENDED = site(ENDED_KIND, "%s took %t")
BROKEN = site(BROKEN_KIND, "%s broke off after %t: %s", level=WARNING)
CLOSED = site("journal.close", "pid %d wrote its last event", level=DEBUG)

OPERATION = site("operation", "#%d in task %p: %n, %s", level=DEBUG)
"""Index in the program, task, system call number, reason: an operation of a program is about to run."""
DECISION = site("decision", "task %p: %s, because %s", level=DEBUG)
"""Task, what was decided, why."""

FAILED = site("failure", "%s: %s (task %p, %s; at %s) try: %s", level=ERROR)
"""Code, message, task, resource, place in the source, hint."""
BLOCKER = site("failure.blocker", "%s: %s (task %p, %s; at %s) try: %s", level=ERROR)
"""One of the things that a refusal is made of; the same arguments."""
CAUSE = site("failure.cause", "%s: %s (errno %e, at %s)", level=ERROR)
"""Class, message, error number or 0, place: an exception that another was raised from; the innermost comes first."""
LOGGED = {level: site("log", "%s: %s", level=level) for level in (DEBUG, INFO, WARNING, ERROR)}
"""A record of the standard library's ``logging``: name of the logger, message."""


def failure(lane: Lane, error: BaseException) -> None:
    """Record an error with all it carries: ``code``, ``pid``, ``resource``, ``hint``, ``blockers``, and its causes."""
    causes: list[BaseException] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < 5:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    for cause in reversed(causes):
        number = cause.errno if isinstance(cause, OSError) else 0
        CAUSE(lane, type(cause).__name__, str(cause), number or 0, _place(cause))
    for blocker in getattr(error, "blockers", ()):
        BLOCKER(lane, *_told(blocker))
    FAILED(lane, *_told(error))


def _told(error: BaseException) -> tuple[str, str, int, str, str, str]:
    code = getattr(error, "code", None) or type(error).__name__
    pid, resource, hint = [getattr(error, name, None) for name in ("pid", "resource", "hint")]
    return str(code), str(error), pid or 0, resource or "", _place(error), hint or ""


def _place(error: BaseException) -> str:
    """Where an exception was raised: the innermost frame of its traceback."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
