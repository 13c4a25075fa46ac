"""Find the command, run it, and handle everything that goes wrong in one place.

Exit codes: 0 done; 1 refused or failed, the target left as it was; 2 wrong usage; 3 a bug of replant.
"""

from __future__ import annotations

import os
import sys

from replant import progress
from replant.cli.crash import journal_in_use
from replant.cli.options import HelpWanted
from replant.errors import Bug, Refused, ReplantError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

COMMANDS = ("demo", "check", "dump", "restore", "show", "diff", "plan", "log", "ps", "export", "image", "cleanup")


def run() -> NoReturn:
    """The program ``replant``: `main` with the words of the command line.

    Leaves without taking the interpreter apart, which costs as much as a tenth of a small restore and does nothing.
    """
    code = main(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 1
    os._exit(code)


def main(argv: Sequence[str]) -> int:
    """Run ``replant ARGV`` and return its exit code; every error has been told."""
    try:
        return _dispatch(argv)
    except HelpWanted as text:
        sys.stdout.write(str(text))
        return 0
    except ReplantError as error:
        _tell(error, argv)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 1)
        return 1
    except Exception as error:
        told = _as_shortage(error) or _as_bug(error)
        _tell(told, argv)
        return told.exit_code


def _dispatch(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        raise HelpWanted(overview())
    if argv[0] == "--version":
        from replant._version import __version__

        raise HelpWanted(f"replant {__version__}\n")
    if argv[0] not in COMMANDS:
        raise UsageError(
            f"{argv[0]!r} is no command", code="usage", hint=f"commands: {', '.join(COMMANDS)}; see 'replant --help'"
        )
    module = __import__(f"replant.cli.{argv[0]}", fromlist=["main"])
    if os.isatty(2) and "--json" not in argv:
        progress.on()
    try:
        code: int = module.main(list(argv[1:]))
    finally:
        progress.clear()
    return code


def overview() -> str:
    """The text of ``replant --help``: a line for each command, which is the first line of its module."""
    rows = []
    for name in COMMANDS:
        doc = __import__(f"replant.cli.{name}", fromlist=["main"]).__doc__ or ""
        rows.append(f"  {name:<9}{doc.splitlines()[0].rstrip('.')}")
    return (
        "Usage: replant COMMAND [options]\n\nCheckpoint and restore Linux process trees.\n\nCommands:\n"
        + "\n".join(rows)
        + "\n\n'replant COMMAND --help' tells more; 'replant --version' the version.\n"
    )


def _tell(error: ReplantError, argv: Sequence[str]) -> None:
    """Say what went wrong on standard error, and as the JSON document if one was asked for."""
    write = sys.stderr.write
    write(f"replant: {error}{_where(error)}\n")
    shown = error.blockers if isinstance(error, Refused) else ()
    for blocker in shown:
        write(f"  - {blocker}{_where(blocker)}\n")
        if blocker.hint:
            write(f"    try: {blocker.hint}\n")
    if error.hint and not shown:
        write(f"  try: {error.hint}\n")
    for line in _from_journal(bool(error.hint)):
        write(f"{line}\n")
    if "--json" in argv:
        from replant.cli.output import document

        document(error.as_dict())


def _from_journal(helped: bool) -> list[str]:
    """What the journal of the run knows besides, and where it is; ``helped``: what to try has been said."""
    path = journal_in_use()
    if not path:
        return []
    from replant.abi import names
    from replant.journal.why import brief

    try:
        lines = brief(path, names)[1:]
    except (OSError, ValueError) as error:
        return [f"  the journal {path} cannot be read: {error}"]
    return [line for line in lines if not (helped and line.startswith("  try: "))]


def _where(error: ReplantError) -> str:
    """The task and the object, unless the message names them already."""
    message = str(error)
    parts = []
    if error.pid is not None and str(error.pid) not in {word.strip(".,:;()'") for word in message.split()}:
        parts.append(f"task {error.pid}")
    if error.resource and error.resource not in message:
        parts.append(error.resource)
    return f" ({', '.join(parts)})" if parts else ""


def _as_shortage(error: Exception) -> ReplantError | None:
    from replant.abi.shortage import shortage

    return shortage(error)


def _as_bug(error: Exception) -> ReplantError:
    """What nobody expected: say it in a line, keep the traceback where it can be sent from."""
    from replant.cli.crash import record

    return Bug(
        f"unexpected {type(error).__name__}: {error}",
        code="bug",
        hint=f"this is a bug of replant: please report it with {record(error)}",
    )
