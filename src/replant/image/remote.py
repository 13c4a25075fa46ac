"""Images behind a URL (``s3://bucket/image``), by the library ``fsspec`` and whatever it has for the scheme.

Reading takes what is asked for, by ranges: a restore needs no copy on a disk. Writing (`replant.image.upload`) makes
the image in a temporary directory first, since the processes of the tree write into it in any order; what has been sent
of it is given back at once, and the manifest is sent last: there is no image before.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from replant.errors import ImageError, ReplantError
from replant.image import manifest, place, sums
from replant.progress import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PIECE = 8 << 20
_connected: dict[str, tuple[int, Any, str]] = {}
_connecting: dict[int, Any] = {}  # a lock a process: that of another one may be held by a thread which is not here


def is_url(path: str) -> bool:
    """Whether a path is a URL, and no path here."""
    scheme, colon, _ = path.partition("://")
    return bool(colon) and scheme.replace("+", "").replace("-", "").isalnum()


def absolute(path: str) -> str:
    """A path that is good from every directory; a URL is."""
    return path if is_url(path) else os.path.abspath(path)


def resolved(path: str) -> str:
    """The path without links, by which two can be compared."""
    return path if is_url(path) else os.path.realpath(path)


class Remote:
    """The directory at ``url``. Its connections are those of this process: a fork makes new ones when it needs some."""

    def __init__(self, url: str) -> None:
        self.url = url

    def _at(self, name: str = "") -> tuple[Any, str]:
        with _connecting.setdefault(os.getpid(), allocate_lock()):
            _, fs, path = self._connection()
        return fs, f"{path}/{name}".rstrip("/")

    def _connection(self) -> tuple[int, Any, str]:
        known = _connected.get(self.url)
        if known is None or known[0] != os.getpid():
            asyn, core = _library()
            if known is not None:  # its thread is that of the process we were forked from
                asyn.reset_lock()
            fs, path = core.url_to_fs(self.url.rstrip("/"), skip_instance_cache=True)
            _connected[self.url] = known = os.getpid(), fs, path
        return known

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file, or a part of it. :raises ReplantError: it is missing, or cannot be had."""
        try:
            fs, path = self._at(name)
            data: bytes = fs.cat_file(path, start=start, end=end)
        except FileNotFoundError:
            raise ImageError(
                f"{self.url} is no image: it has no {name}", code="image-missing", resource=self.url,
                hint="an image is what replant dump -o has made",
            ) from None  # fmt: skip
        except ReplantError:
            raise
        except Exception as e:
            raise self._failed(f"reading {name}", e) from e
        return data

    def size(self, name: str) -> int:
        """The size of a file. Raises as `read`."""
        try:
            fs, path = self._at(name)
            return int(fs.size(path))
        except ReplantError:
            raise
        except Exception as e:
            raise self._failed(f"looking at {name}", e) from e

    def refuse_foreign(self) -> None:
        """See that there is nothing, or an image that may be replaced. :raises ReplantError: it is something else."""
        try:
            fs, path = self._at()
            names = {str(found).rstrip("/").rpartition("/")[2] for found in fs.find(path)} if fs.exists(path) else set()
            if not names or (names <= set(place.FILES) and self._is_ours(fs, names)):
                return
        except ReplantError:
            raise
        except Exception as e:
            raise self._failed("looking at it", e) from e
        raise ReplantError(
            f"{self.url} exists and is no image of replant: it is not overwritten",
            code="image-exists",
            resource=self.url,
            hint="choose another name, or remove it yourself",
        )

    def _is_ours(self, fs: Any, names: set[str]) -> bool:
        path = self._at(manifest.NAME)[1]
        return manifest.NAME not in names or fs.cat_file(path, start=0, end=len(manifest.MAGIC)) == manifest.MAGIC

    def publish(self, folder: str) -> None:
        """Send a finished image, the manifest last, and remove it here as it goes.

        :raises ReplantError: it cannot be sent; then there is no image there.
        """
        names = [name for name in os.listdir(folder) if name != manifest.NAME]
        try:
            fs, path = self._at()
            for name in place.FILES:  # an old image is none any more, from the first one on
                if fs.exists(f"{path}/{name}"):
                    fs.rm_file(f"{path}/{name}")
            fs.makedirs(path, exist_ok=True)
            for name in (*names, manifest.NAME):
                self._send(fs, f"{folder}/{name}", f"{path}/{name}")
        except Exception as e:
            raise self._failed("sending it", e) from e

    def _send(self, fs: Any, source: str, target: str) -> None:
        fd = os.open(source, os.O_RDWR | os.O_CLOEXEC)
        size = os.fstat(fd).st_size
        try:
            with fs.open(target, "wb", block_size=_PIECE) as file:
                at = 0
                while data := os.pread(fd, _PIECE, at):
                    file.write(data)
                    sums.punch(fd, at, len(data))
                    at += len(data)
                    show(f"sending {os.path.basename(source)}", at, size)
        finally:
            os.close(fd)
        os.unlink(source)

    def _failed(self, doing: str, e: Exception) -> ReplantError:
        return ReplantError(
            f"{self.url}: {doing} failed: {type(e).__name__}: {e}",
            code="remote-failed",
            resource=self.url,
            hint="are the address, the credentials and the network right?",
        )


def staging() -> str:
    """A new directory for an image that is on its way, below $TMPDIR."""
    from tempfile import mkdtemp

    return mkdtemp(prefix="replant-image-")


def _library() -> tuple[Any, Any]:
    try:
        from fsspec import asyn, core
    except ImportError as e:
        raise ReplantError(
            "the library fsspec is not installed",
            code="no-library",
            resource="fsspec",
            hint="install it: pip install 'replant[remote]'",
        ) from e
    return asyn, core
