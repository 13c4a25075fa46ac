"""The journal of a run: where it stands, that it is in use, and what becomes of it.

A dump's is a part of the image. A restore's is a file of its own, since an image is never changed, and goes when the
restore has succeeded. Of a run that failed the journal is kept and stays the current one: its ``path`` says where.
"""

from __future__ import annotations

import os
from errno import ENOENT, ENOTEMPTY
from stat import S_ISDIR

from replant.errors import ReplantError
from replant.journal import NULL, Journal, use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_KEPT = 50
"""How many journals of runs that failed stay there."""


class Recording:
    """The journal of a ``run``, in use from here to the end of a ``with``.

    ``inside``: its file in an image. ``wanted``: where the user wants to have it in any case. Where no file can be
    made the run goes on without a journal, unless it was asked for.

    :raises ReplantError: ``wanted`` is there already, or cannot be made.
    """

    __slots__ = ("_before", "_inside", "_run", "_wanted", "journal")

    def __init__(self, run: str, inside: str = "", wanted: str = "") -> None:
        self._run, self._inside, self._wanted = run, inside, wanted
        self.journal = _wanted(wanted) if wanted else _made(run, inside)
        self._before = use(self.journal)

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        """Seal the journal, all of it being where it belongs."""
        if self.journal.pos is not None:
            self.journal.close()
            if self._wanted and self._inside:
                _copied(self._wanted, self._inside)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None and self.journal.pos is not None:
            self._fail(error)
            return
        self.close()
        use(self._before)
        if self.journal.path and not self._inside and not self._wanted:
            _forget(self.journal.path)

    def _fail(self, error: BaseException) -> None:
        if not getattr(error, "recorded", False):
            self.journal.failure(error)
        self.journal.close()
        if self._inside and not self._wanted:
            self.journal.path = _saved(self._run, self._inside)
        if not self._wanted:
            _forget_oldest(os.path.dirname(self.journal.path))


def _wanted(path: str) -> Journal:
    try:
        return Journal.create(path)
    except OSError as e:
        raise ReplantError(
            f"no journal can be made at {path}: {e.strerror}",
            code="journal-exists" if isinstance(e, FileExistsError) else "no-journal",
            resource=path,
            hint="name a file that is not there yet, in a directory that is",
        ) from e


def _made(run: str, inside: str) -> Journal:
    try:
        return Journal.create(inside) if inside else _temporary(run)
    except OSError:
        return NULL


def _temporary(run: str) -> Journal:
    while True:
        path = _free(run)
        try:
            return Journal.create(path)
        except (FileExistsError, FileNotFoundError):
            pass  # another run was faster, with that name or with removing the directory


def _saved(run: str, path: str) -> str:
    """The journal of an image that will not be, in a place of its own; ``""`` where there is none."""
    try:
        return _copied(path, _free(run))
    except OSError:
        return ""


def _copied(path: str, to: str) -> str:
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while data := os.read(source, 1 << 20):
                os.write(target, data)
        finally:
            os.close(target)
    finally:
        os.close(source)
    return to


def _free(run: str) -> str:
    """A path that nothing has in `_folder`."""
    start = path = f"{_folder()}/{run}-{os.getpid()}"
    number = 1
    while os.path.lexists(f"{path}.journal"):
        number += 1
        path = f"{start}-{number}"
    return f"{path}.journal"


def _folder() -> str:
    """A directory below $TMPDIR that is ours and that nobody else can enter, whoever else may write there."""
    user = os.geteuid()
    folder = f"{os.environ.get('TMPDIR') or '/tmp'}/replant-{user}"
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        found = os.lstat(folder)  # it may be a link, or somebody else's
        if not S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o077:
            folder = f"{folder}-{os.urandom(8).hex()}"
            os.mkdir(folder, 0o700)
    return folder


def _forget(path: str) -> None:
    """Remove a journal, and its directory unless there are others."""
    os.unlink(path)
    try:
        os.rmdir(os.path.dirname(path))
    except OSError as e:
        if e.errno not in (ENOTEMPTY, ENOENT):
            raise


def _forget_oldest(folder: str) -> None:
    try:
        with os.scandir(folder) as found:
            journals = sorted((e.stat().st_mtime_ns, e.path) for e in found if e.name.endswith(".journal"))
        for _, path in journals[:-_KEPT]:
            os.unlink(path)
    except OSError:
        pass  # another run of ours is at it
