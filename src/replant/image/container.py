"""An image on disk: a directory of five files, written beside its name and renamed into place.

As built::

    with ImageWriter.create(path) as image:     # before the freeze: every file exists and is open
        image.pages_fd                          # read and write, empty: PageWriter(image.pages_fd)
        image.journal_path                      # for the journal; may stay absent
        image.write(model, resolve, xfeatures=0, notes={}, parents=())      # after the release, once
        image.check(model, resolve)             # before a tree is killed: does it decode to the same?
        image.commit(durable=False)             # renames; without it, leaving the block removes everything

    image = open_image(path)                     # also a context manager; .close()
    image.manifest                               # Manifest
    image.model(resolve) -> Model                # checked completely; resolve(family, kind) -> State class
    image.pages_fd, image.pages_size             # PageReader(image.pages_fd)
    image.stores()                               # the same of all images that have pages of it, its own first
    image.verify()                               # checksums of the page store
    image.verify_async().wait()                  # the same in a thread, before the tasks are released

Errors are `ReplantError` (codes ``no-space``, ``no-permission``, ``no-directory``, ``image-exists``, …) on writing and
`ImageError` (``image-missing``, ``image-truncated``, ``image-corrupt``, ``image-version``, ``image-kind``) on reading.
"""

from __future__ import annotations

import os

from replant._version import __version__
from replant.errors import Bug, ImageError
from replant.image import codec, columns, manifest, packing, place, sums, upgrade, zeros
from replant.image.manifest import KindVersion, Manifest, Parent, Part
from replant.image.reader import Image, open_image
from replant.image.remote import is_url, resolved
from replant.model.tree import Model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from replant.image.codec import Resolve
    from replant.image.secret import Secret
    from replant.model.frozen import Frozen
    from replant.model.tree import Mm

__all__ = ["Image", "ImageWriter", "open_image"]
_FRAMED = ("frames.json", "frames.bin")
_NOTHING = Model(0, 0, (), (), (), (), ())
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class ImageWriter:
    """An image that is being written. Unless committed it leaves nothing behind."""

    def __init__(self, path: str, compress: str = packing.NONE, secret: Secret | None = None) -> None:
        self.path = path
        self._compress, self._secret = compress, secret
        self._framed = compress != packing.NONE or secret is not None
        self.pages_fd = -1
        self.bytes_written = 0
        self.mms: tuple[Mm, ...] = ()  # as they were written, without pages of zeros
        self.identity = ""
        self._partial = ""
        self._lock = -1
        self._fds: dict[str, int] = {}
        self._encoded: tuple[bytes, bytes] | None = None
        self._zeros: list[int] = []
        self._early: sums.Early

    @classmethod
    def create(cls, path: str, compress: str = packing.NONE, encrypt: bool = False) -> ImageWriter:
        """Make and open everything that writing needs; ``path`` may be an image already, which stays until the commit.

        ``compress``: ``none``, ``lz4`` or ``zstd``, for the page store. ``encrypt``: see `replant.image.secret`.
        :raises ReplantError: ``path`` is something else, the storage does not allow it, a library or a key is missing.
        """
        packing.packer(compress)
        secret = _secret() if encrypt else None
        made = _upload(path, compress, secret) if is_url(path) else cls(resolved(path), compress, secret)
        made.refuse_foreign()
        try:
            made._open()
        except OSError as e:
            made.abort()
            raise place.cannot(e, "making an image at", made.path) from e
        except BaseException:
            made.abort()
            raise
        return made

    def refuse_foreign(self) -> None:
        """See that nothing but an image is overwritten. :raises ReplantError: it would be."""
        place.refuse_foreign(self.path)

    def claim(self) -> tuple[str, int]:
        """A directory to write to, and a descriptor that holds its lock. :raises OSError: it cannot be made."""
        return place.claim_partial(self.path)

    def publish(self, durable: bool) -> None:
        """Put what is written in its place. :raises OSError: it cannot be."""
        place.publish(self._partial, self.path)
        self._close()
        if durable:
            place.sync(os.path.dirname(self.path))

    def _open(self) -> None:
        self._partial, self._lock = self.claim()
        for name in ("pages.bin", "model.json", "blobs.bin", *(_FRAMED if self._framed else ())):
            if self._secret and name == "pages.bin":  # what is plain is never on a disk
                self._fds[name] = os.memfd_create("pages", os.MFD_CLOEXEC)
            else:
                self._fds[name] = os.open(f"{self._partial}/{name}", _NEW, 0o600)
        self.pages_fd = self._fds["pages.bin"]
        self._early = sums.Early(self.pages_fd)

    @property
    def journal_path(self) -> str:
        """Where the journal of the dump belongs."""
        return f"{self._partial}/journal"

    @staticmethod
    def get_ready(states: Iterable[type[Frozen]]) -> None:
        """Load and make all that `write` will need for these States, so that no stopped tree has to wait for that."""
        for state in states:
            columns.record(state)
        sums.digest(codec.encode(_NOTHING)[0])

    def written(self, size: int) -> None:
        """Say that the first ``size`` bytes of the page store are final: their checksums can be made meanwhile."""
        if not self._framed:
            self._early.written(size)

    def rewriting(self) -> int:
        """The page store, to be read and written anew; nothing of it is final any more."""
        self._early.forget()
        return self.pages_fd

    def write(
        self,
        model: Model,
        resolve: Resolve,
        xfeatures: int = 0,
        notes: Mapping[str, str] | None = None,
        parents: tuple[Parent, ...] = (),
    ) -> Manifest:
        """Write everything but the pages, which stand in the store already, and the checksums of all.

        :raises ReplantError: no space, or another failure of the storage.
        """
        try:
            pages = self._pages()
            model = zeros.dropped(model, sorted(self._zeros))
            self.mms = model.mms
            self._encoded = data, blobs = codec.encode(model)
            parts = (self._sealed("model.json", data), self._sealed("blobs.bin", blobs), *pages)
            kinds = tuple(_kind(family, kind, resolve) for family, kind in codec.kinds_of(model))
            done = _manifest(xfeatures, tuple((notes or {}).items()), kinds, parts, parents)
            self._fds[manifest.NAME] = os.open(f"{self._partial}/{manifest.NAME}", _NEW, 0o600)
            text = manifest.render(done)
            self.bytes_written = sum(p.size for p in parts) + self._put(manifest.NAME, text)
            self.identity = manifest.identity(text)
        except OSError as e:
            raise place.cannot(e, "writing the image", self.path) from e
        return done

    def check(self, model: Model, resolve: Resolve) -> None:
        """Decode what was written and compare it with the model: before the tree that it was made of is killed.

        :raises Bug: a kind has a State that does not come back as it was.
        """
        if self._encoded is None:
            raise Bug("an image is checked before it is written", code="bug")
        try:
            same = codec.decode(*self._encoded, resolve) == model
        except ImageError as e:
            raise Bug(f"what was written cannot be read: {e}", code="bug") from e
        if not same:
            raise Bug("what was written is not what was read from the tree", code="bug")

    def commit(self, durable: bool = False) -> None:
        """Give the image its name; ``durable``: only once every byte is on the disk (fsync(2)).

        :raises ReplantError: the storage fails, or something foreign stands at that name by now.
        """
        if manifest.NAME not in self._fds:
            raise Bug("an image is committed before it is written", code="bug")
        try:
            if durable:
                for fd in (*self._fds.values(), self._lock):
                    os.fsync(fd)
            if self._secret:  # a journal has paths and names of the tree
                place.forget(self.journal_path)
            self.publish(durable)
        except OSError as e:
            raise place.cannot(e, "giving its name to the image", self.path) from e

    def abort(self) -> None:
        """Remove everything; after a commit, do nothing."""
        if self._lock >= 0:
            try:
                place.remove(self._partial)
            except OSError as e:
                raise place.cannot(e, "removing the unfinished image", self._partial) from e
            finally:
                self._close()

    def __enter__(self) -> ImageWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.abort()

    def _close(self) -> None:
        for fd in (*self._fds.values(), self._lock):
            if fd >= 0:
                os.close(fd)
        self._fds = {}
        self._lock = self.pages_fd = -1

    def _sealed(self, name: str, data: bytes) -> Part:
        return self._whole(name, self._secret.seal(name, data) if self._secret else data)

    def _whole(self, name: str, data: bytes) -> Part:
        self._put(name, data)
        return Part(name, len(data), sums.of_bytes(data))

    def _put(self, name: str, data: bytes) -> int:
        done = 0
        while done < len(data):
            done += os.pwrite(self._fds[name], memoryview(data)[done:], done)
        return done

    def _pages(self) -> tuple[Part, ...]:
        size = os.fstat(self.pages_fd).st_size
        if self._framed:
            return self._frames(size)
        found = self._early.of_file(size)
        self._zeros = self._early.zeros
        sums.punch_zeros(self.pages_fd, self._zeros)
        return (Part("pages.bin", size, found),)

    def _frames(self, size: int) -> tuple[Part, ...]:
        """The page store compressed, after which the plain one is gone."""
        from replant.image import frames

        index, self._zeros = frames.pack(self.pages_fd, size, self._fds[frames.DATA], self._compress, self._secret)
        os.close(self._fds.pop("pages.bin"))
        self.pages_fd = -1
        if not self._secret:
            os.unlink(f"{self._partial}/pages.bin")
        stored = os.fstat(self._fds[frames.DATA]).st_size
        return self._whole(frames.INDEX, frames.render(index)), Part(frames.DATA, stored, ())


def _upload(url: str, compress: str, secret: Secret | None) -> ImageWriter:
    from replant.image.upload import Upload

    return Upload(url, compress, secret)


def _secret() -> Secret:
    from replant.image.secret import Secret

    return Secret.fresh()


def _kind(family: str, kind: str, resolve: Resolve) -> KindVersion:
    """The version of a kind. :raises Bug: its State could not be decoded, which is seen here and not at restore."""
    state = resolve(family, kind)
    columns.record(state)
    return KindVersion(f"{family}/{kind}", upgrade.version(state))


def _manifest(
    xfeatures: int,
    notes: tuple[tuple[str, str], ...],
    kinds: tuple[KindVersion, ...],
    parts: tuple[Part, ...],
    parents: tuple[Parent, ...],
) -> Manifest:
    import time

    host = os.uname()
    with open("/proc/sys/kernel/random/boot_id") as f:
        boot_id = f.read().strip()
    return Manifest(
        "replant", manifest.FORMAT, __version__, host.machine, host.release, boot_id, int(time.time()),
        xfeatures, notes, kinds, parts, parents,
    )  # fmt: skip
