"""The page store: one raw file, read and written at offsets, that holds all content which is not structure.

As built::

    store = PageWriter(fd)
    store.reserve(length, align=4096) -> int         # an offset for content that somebody else writes
    store.keep(data) -> Extent                       # bytes, packed
    store.keep_file(fd, size) -> tuple[Extent, ...]  # the data of a file, its holes left out
    store.keep_part(fd, start, length) -> int        # pages of another store
    store.keep_whole(fd, size) -> None               # all of another store, to the same places
    store.put(data, at) -> None                      # content of a reserved stretch
    store.size                                       # bytes up to the end of the last stretch
    PageReader(fd, *earlier).load(extent) -> bytes   # .stores: these and those of images that it builds on

`Extent.offset` is the place in the object, `Extent.at` the place in the store. Reserved stretches begin at multiples of
4096, so that they can be served with pread(2), UFFDIO_COPY and O_DIRECT alike.
"""

from __future__ import annotations

import errno
import os

from replant.abi.reasons import STORAGE
from replant.errors import ImageError, ReplantError
from replant.model.invariants import PAGE
from replant.model.tree import Extent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

RW_MAX = 1 << 30  # below MAX_RW_COUNT, the most that one read(2) or write(2) moves
_CHUNK = 1 << 20
# another file system, a file that has no such operation (memfd to ext4), an old kernel
_CANNOT_SPLICE = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.ETXTBSY)


class PageWriter:
    """Fills the page store behind ``fd``, from its end on; the descriptor stays the caller's."""

    __slots__ = ("fd", "size")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size

    def reserve(self, length: int, align: int = PAGE) -> int:
        """Room for ``length`` bytes at a multiple of ``align`` (a power of two); what lies between stays a hole."""
        at = -(-self.size // align) * align
        self.size = at + length
        return at

    def put(self, data: bytes | bytearray | memoryview, at: int) -> None:
        """Write all of ``data`` at offset ``at``. :raises ReplantError: the storage does not take it."""
        view = memoryview(data)
        while view:
            try:
                done = os.pwrite(self.fd, view, at)
            except OSError as e:
                raise cannot_store(e) from e
            view = view[done:]
            at += done

    def keep(self, data: bytes) -> Extent:
        """Put bytes into the store, packed behind the last ones."""
        at = self.reserve(len(data), 1)
        self.put(data, at)
        return Extent(0, len(data), at)

    def keep_file(self, fd: int, size: int) -> tuple[Extent, ...]:
        """Copy the first ``size`` bytes of the file ``fd``, data only; and the offset of ``fd`` stays.

        :raises ReplantError: the file shrank meanwhile, cannot be read, or the storage does not take it.
        """
        kept = []
        for start, end in _data(fd, size):
            at = self.reserve(end - start)
            self._copy(fd, start, end, at)
            kept.append(Extent(start, end - start, at))
        return tuple(kept)

    def keep_part(self, fd: int, start: int, length: int) -> int:
        """Copy a part of another page store; where it is now. Raises as `keep_file`."""
        at = self.reserve(length)
        self._copy(fd, start, start + length, at)
        return at

    def keep_whole(self, fd: int, size: int) -> None:
        """Copy all of another page store into this one, which is empty, to the same places. Raises as `keep_file`."""
        os.ftruncate(self.fd, self.reserve(size, 1) + size)
        for start, end in _data(fd, size):
            self._copy(fd, start, end, start)

    def _copy(self, fd: int, start: int, end: int, at: int) -> None:
        """Within the kernel where it can (copy_file_range(2)), else through one buffer."""
        done = _splice(fd, self.fd, start, end, at)
        buffer = memoryview(bytearray(min(end - start - done, _CHUNK)))
        while start + done < end:
            part = buffer[: end - start - done]
            try:
                count = os.preadv(fd, [part], start + done)
            except OSError as e:
                raise ReplantError(f"a file cannot be read: {e.strerror}", code="file-unreadable") from e
            if not count:
                raise ReplantError(f"a file became shorter than {end} bytes while it was copied", code="file-changed")
            self.put(part[:count], at + done)
            done += count


class PageReader:
    """Reads the page store behind ``fd``; the descriptor stays the caller's.

    ``stores``: it, and those of earlier images that have pages too, by the numbers of `replant.model.places`.
    """

    __slots__ = ("fd", "stores")

    def __init__(self, fd: int, *earlier: int) -> None:
        self.fd = fd
        self.stores = (fd, *earlier)

    def load(self, extent: Extent) -> bytes:
        """The content of a stretch. :raises ImageError: the store ends before it, or cannot be read."""
        if extent.length < 0 or extent.at < 0 or extent.at + extent.length > os.fstat(self.fd).st_size:
            raise _too_short(extent)
        parts = []
        at, end = extent.at, extent.at + extent.length
        while at < end:
            try:
                part = os.pread(self.fd, end - at, at)
            except OSError as e:
                raise ImageError(f"the page store cannot be read at {at}: {e.strerror}", code="image-unreadable") from e
            if not part:
                raise _too_short(extent)
            parts.append(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def cannot_store(e: OSError) -> ReplantError:
    """The words for a page store that does not take what is written to it."""
    code, hint = STORAGE.get(e.errno or 0, ("storage-failed", ""))
    return ReplantError(f"the page store cannot be written: {e.strerror}", code=code, resource="pages.bin", hint=hint)


def _splice(source: int, target: int, start: int, end: int, at: int) -> int:
    """Copy as much as copy_file_range(2) does; it stops at 0 for files that have no size of their own (procfs)."""
    done = 0
    try:
        while start + done < end:
            count = os.copy_file_range(source, target, end - start - done, start + done, at + done)
            if not count:
                break
            done += count
    except OSError as e:
        if e.errno not in _CANNOT_SPLICE:
            raise cannot_store(e) from e
    return done


def _data(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """The stretches of a file that are no holes (lseek(2) SEEK_DATA); the whole where that cannot be asked.

    Asked of a description of our own: ``fd`` may share its offset with a process that must not notice.
    """
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield 0, size
        return
    try:
        yield from _stretches(own, size)
    finally:
        os.close(own)


def _stretches(fd: int, size: int) -> Iterator[tuple[int, int]]:
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno != errno.ENXIO:  # ENXIO: nothing but a hole from here on
                yield at, size
            return
        if start >= size:
            return
        at = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        yield start, at


def _too_short(extent: Extent) -> ImageError:
    return ImageError(
        f"the page store ends before {extent.at} + {extent.length}",
        code="image-truncated",
        resource="pages.bin",
        hint="the image was not copied completely: copy it again",
    )
