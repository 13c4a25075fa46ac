"""The page store of an image that is opened: plain, or in frames; `open_store` finds out."""

from __future__ import annotations

import os
from _functools import partial  # type: ignore[import-not-found]  # functools takes milliseconds

from replant.errors import ImageError
from replant.image import sums
from replant.image.remote import Remote, is_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Protocol

    from replant.image.manifest import Manifest, Part

    class Store(Protocol):
        """``size`` in bytes, ``count`` of its blocks of 2 MiB."""

        size: int
        count: int
        encrypted: bool

        def fetch(self, number: int, memory: memoryview) -> None:
            """Bring a block into memory, checked. :raises ImageError: it is damaged."""

        def descriptor(self, but: Container[int] = ()) -> int:
            """A file with all of it, ``but`` maybe some blocks. :raises ImageError: it is damaged, if that shows."""

        def opened(self, name: str, data: bytes) -> bytes:
            """The content of another file of the image. :raises ImageError: it cannot be decrypted."""

        def descriptors(self) -> list[int]:
            """All that `fetch` reads from."""

        def close(self) -> None:
            """Close what it is read from."""


class PlainStore:
    """The page store as one raw file."""

    def __init__(self, part: Part, fd: int) -> None:
        self.size, self.encrypted = part.size, False
        self.count = len(part.sums)
        self._part, self._fd = part, fd

    def fetch(self, number: int, memory: memoryview) -> None:
        """See `Store`."""
        try:
            block = sums.read_block(self._fd, memory, number, self.size)
        except OSError as e:
            raise unreadable(self._part.name, e) from e
        sums.compare(self._part.name, [sums.digest(block)], [self._part.sums[number]], number)

    def descriptor(self, but: Container[int] = ()) -> int:
        """See `Store`: the file itself, whole and unchecked."""
        return self._fd

    def opened(self, name: str, data: bytes) -> bytes:
        """See `Store`: as it is."""
        return data

    def descriptors(self) -> list[int]:
        """See `Store`."""
        return [self._fd]

    def close(self) -> None:
        """See `Store`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def open_store(path: str, found: Manifest, index: bytes | None) -> Store:
    """The page store of the image at ``path``; ``index`` is its frames.json, if it has one.

    :raises ImageError: it is missing, truncated, or contradicts itself.
    """
    part = found.part("pages.bin" if index is None else "frames.bin")
    if is_url(path):
        return _remote_store(path, part, index)
    try:
        fd = os.open(f"{path}/{part.name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as e:
        raise unreadable(part.name, e) from e
    try:
        if os.fstat(fd).st_size != part.size:
            raise wrong_size(part.name, part.size, os.fstat(fd).st_size)
        if index is None:
            return PlainStore(part, fd)
        from replant.image.frames import FramedStore, parse

        return FramedStore(parse(index, part.size), partial(sums.read_part, fd), [fd])
    except BaseException:
        os.close(fd)
        raise


def _remote_store(url: str, part: Part, index: bytes | None) -> Store:
    """A page store of which the blocks are fetched as they are asked for."""
    from replant.image.frames import FramedStore, of_plain, parse

    there = Remote(url)
    size = there.size(part.name)
    if size != part.size:
        raise wrong_size(part.name, part.size, size)
    frames = of_plain(part.sums, part.size) if index is None else parse(index, part.size)
    return FramedStore(frames, lambda at, length: there.read(part.name, at, at + length))


def wrong_size(name: str, expected: int, found: int) -> ImageError:
    """A file of the image is shorter or longer than its manifest says."""
    return ImageError(
        f"{name} has {found} bytes instead of {expected}",
        code="image-truncated" if found < expected else "image-corrupt",
        resource=name,
        hint="the image was not copied completely: copy it again",
    )


def unreadable(name: str, e: Exception) -> ImageError:
    """The storage gives an error."""
    return ImageError(f"{name} cannot be read: {e}", code="image-unreadable", resource=name)
