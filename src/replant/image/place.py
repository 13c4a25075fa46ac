"""Where an image is written, and how it gets its name: beside it, and then whole (rename(2), renameat2(2)).

A partial image is the directory ``IMAGE.partial-PID``, held by a lock (flock(2)) as long as its writer lives. Who finds
one that nobody holds removes it.
"""

from __future__ import annotations

import os

from replant.abi import x86_64
from replant.abi.fcntl import LOCK_EX, LOCK_NB
from replant.abi.libc import syscall
from replant.abi.reasons import STORAGE
from replant.errors import ReplantError
from replant.image import manifest

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
FILES = (manifest.NAME, "model.json", "blobs.bin", "pages.bin", "frames.json", "frames.bin", "journal")


def cannot(e: OSError, doing: str, path: str) -> ReplantError:
    """The words for storage that fails."""
    code, hint = STORAGE.get(e.errno or 0, ("storage-failed", ""))
    return ReplantError(f"{doing} {path}: {e.strerror}", code=code, resource=path, hint=hint)


def refuse_foreign(path: str) -> None:
    """See that ``path`` is free, an empty directory, or an image that may be replaced.

    :raises ReplantError: it is something else, which is left alone.
    """
    try:
        names = set(os.listdir(path))
        if not names or (names <= set(FILES) and _starts_like_ours(path)):
            return
    except FileNotFoundError:
        return
    except OSError as e:
        if not isinstance(e, NotADirectoryError) or not os.path.lexists(path):
            raise cannot(e, "looking at", path) from e
    raise ReplantError(
        f"{path} exists and is no image of replant: it is not overwritten",
        code="image-exists",
        resource=path,
        hint="choose another name, or remove it yourself",
    )


def _starts_like_ours(path: str) -> bool:
    try:
        with open(f"{path}/{manifest.NAME}", "rb") as f:
            return f.read(len(manifest.MAGIC)) == manifest.MAGIC
    except FileNotFoundError:
        return False


def claim_partial(path: str) -> tuple[str, int]:
    """Make the partial directory of an image and lock it; its path and a descriptor that holds the lock.

    :raises OSError: it cannot be made.
    """
    remove_leftovers(path)
    partial = f"{path}.partial-{os.getpid()}"
    os.mkdir(partial, 0o700)
    try:
        fd = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        syscall(x86_64.flock, fd, LOCK_EX | LOCK_NB)
    except OSError:
        os.rmdir(partial)
        raise
    return partial, fd


def remove_leftovers(path: str) -> None:
    """Remove the partial images for ``path`` whose writers are dead."""
    parent, name = os.path.split(path)
    for entry in os.listdir(parent):
        if entry.startswith(name + ".partial-") and entry.rpartition("-")[2].isdigit():
            _remove_unheld(os.path.join(parent, entry))


def _remove_unheld(partial: str) -> None:
    try:
        fd = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # gone meanwhile, somebody else's, or not even a directory: not ours to remove
        return
    try:
        syscall(x86_64.flock, fd, LOCK_EX | LOCK_NB)
        remove(partial)
    except OSError:  # its writer lives, or it is not ours: it is in nobody's way
        pass
    finally:
        os.close(fd)


def forget(path: str) -> None:
    """Remove a file, if it is there. :raises OSError: it stays."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def remove(directory: str) -> None:
    """Remove a directory that holds only files of an image; anything else stays. :raises OSError: something stays."""
    for name in FILES:
        forget(f"{directory}/{name}")
    os.rmdir(directory)


def publish(partial: str, path: str) -> None:
    """Give a finished partial image its name; an image that was there before is gone in the same moment.

    :raises OSError: it cannot be renamed. :raises ReplantError: something foreign has taken the name.
    """
    refuse_foreign(path)
    try:
        os.rename(partial, path)  # also over an empty directory
    except OSError:
        if not os.path.isdir(path):
            raise
        exchange = (_AT_FDCWD, os.fsencode(partial), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE)
        syscall(x86_64.renameat2, *exchange)
        try:
            remove(partial)
        except OSError:  # the new image is in place; what is left of the old one is a leftover for the next dump
            pass


def sync(path: str) -> None:
    """fsync(2) a directory or file by its path."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
