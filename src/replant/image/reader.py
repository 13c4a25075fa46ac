"""Opening an image: what is small is checked at once, the page store when asked. See `replant.image.container`."""

from __future__ import annotations

import os

from replant.errors import ImageError
from replant.image import codec, manifest, sums
from replant.image.remote import Remote, is_url
from replant.image.stored import open_store, unreadable, wrong_size
from replant.model.places import place, split
from replant.progress import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from replant.image.codec import Resolve
    from replant.image.manifest import Manifest, Parent
    from replant.image.stored import Store
    from replant.model.tree import Model

#: what may be read into memory at once, in bytes: some hundred times what a tree of a thousand processes needs
_LIMITS = {manifest.NAME: 64 << 20, "model.json": 1 << 30, "blobs.bin": 1 << 30, "frames.json": 64 << 20}
_FRAMED = ("frames.json", "frames.bin")


class Image:
    """An image that was opened for reading. Nothing in it is trusted before it was checked."""

    def __init__(self, path: str, found: Manifest, identity: str, store: Store) -> None:
        self.path = path
        self.manifest = found
        self.identity = identity
        self.store = store
        self._parents: list[Image] = []
        self.pages_size = store.size

    @property
    def pages_fd(self) -> int:
        """The page store as a file. One in frames is unfolded in memory for it. :raises ImageError: it is damaged."""
        return self.store.descriptor()

    def model(self, resolve: Resolve) -> Model:
        """The saved tree; ``resolve(family, kind)`` answers with State classes. :raises ImageError: it is damaged."""
        names = ("model.json", "blobs.bin")
        data, blobs = (self.store.opened(name, _read(self.path, self.manifest, name)) for name in names)
        versions = {k.name: k.version for k in self.manifest.kinds}
        return codec.decode(data, blobs, resolve, versions, [self.pages_size, *(p.size for p in self.manifest.parents)])

    def parents(self) -> list[Image]:
        """The earlier images that have pages of this one, as its manifest lists them; open as long as this one is.

        :raises ImageError: one is missing, or is not what it was.
        """
        for parent in self.manifest.parents[len(self._parents) :]:
            self._parents.append(_open_parent(self.path, parent))
        return self._parents

    @property
    def encrypted(self) -> bool:
        """Whether it, or one that it builds on, is encrypted."""
        return any(image.store.encrypted for image in (self, *self.parents()))

    def stores(self, but: Container[int] = ()) -> list[int]:
        """The descriptors of all page stores, by their numbers in `replant.model.places`. Raises as `parents`.

        Blocks in ``but``, numbered as for `fetch`, are not wanted there.
        """
        found = []
        for number, image in enumerate((self, *self.parents())):
            first = place(number, 0) // sums.BLOCK
            found.append(image.store.descriptor({n for n in range(image.store.count) if first + n in but}))
        return found

    @property
    def framed(self) -> bool:
        """Whether some page store has to be unfolded to be read."""
        return any(not image.manifest.has("pages.bin") for image in (self, *self.parents()))

    def fetch(self, number: int, memory: memoryview) -> None:
        """Bring block ``number`` of all stores, by the places in `replant.model.places`, into memory, checked.

        :raises ImageError: it is damaged.
        """
        store, at = split(number * sums.BLOCK)
        image = self.parents()[store - 1] if store else self
        image.store.fetch(at // sums.BLOCK, memory)

    def descriptors(self) -> list[int]:
        """All that `fetch` reads from."""
        return [fd for image in (self, *self.parents()) for fd in image.store.descriptors()]

    def verify(self, but: Container[int] = ()) -> None:
        """Compare all page stores with their checksums, ``but`` some blocks, which are numbered as for `fetch`.

        :raises ImageError: one is damaged, or missing.
        """
        memory = memoryview(bytearray(sums.BLOCK))
        for store, image in enumerate((self, *self.parents())):
            first = place(store, 0) // sums.BLOCK
            for number in range(image.store.count):
                if first + number not in but:
                    image.store.fetch(number, memory)
                show("checking", (number + 1) * sums.BLOCK, image.pages_size)

    def verify_async(self) -> sums.Background:
        """Begin to verify in a thread; ``.wait()`` on the answer ends it and raises what `verify` would."""
        return sums.Background(self.verify)

    def close(self) -> None:
        """Close the page stores."""
        for parent in self._parents:
            parent.close()
        self._parents = []
        self.store.close()

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_image(path: str) -> Image:
    """Open an image and check its manifest and the size of its page store.

    :raises ImageError: there is none, or it is damaged, truncated or of another format.
    """
    text = _contents(path, manifest.NAME)
    found = manifest.parse(text)
    _check_parts(found)
    index = _read(path, found, "frames.json") if found.has("frames.json") else None
    return Image(path, found, manifest.identity(text), open_store(path, found, index))


def _open_parent(path: str, parent: Parent) -> Image:
    """An image that the one at ``path`` builds on."""
    where = _beside(path, parent.path)
    try:
        image = open_image(where)
    except ImageError as e:
        raise ImageError(
            f"{path} builds on the image {where}, which cannot be used: {e}",
            code="image-parent",
            resource=where,
            hint=f"put it back to {where}; before moving one of them, make the other independent: replant image merge",
        ) from e
    if (image.identity, image.pages_size) != (parent.identity, parent.size):
        image.close()
        raise ImageError(
            f"{path} builds on an image that was at {where}; another one is there now",
            code="image-parent",
            resource=where,
            hint="put the former one back: an image must not be replaced as long as others build on it",
        )
    return image


def _beside(path: str, relative: str) -> str:
    """Another image, by its path from this one."""
    scheme, colon, rest = path.partition("://") if is_url(path) else ("", "", os.path.realpath(path))
    return scheme + colon + os.path.normpath(os.path.join(rest, relative))


def _check_parts(found: Manifest) -> None:
    names = [p.name for p in found.parts]
    if names not in (["model.json", "blobs.bin", "pages.bin"], ["model.json", "blobs.bin", *_FRAMED]):
        raise codec.corrupt(f"lists the files {names!a:.200}", manifest.NAME)
    for part in found.parts:
        if (
            part.size < 0
            or part.size > _LIMITS.get(part.name, 1 << 62)
            or len(part.sums) != (0 if part.name == "frames.bin" else -(-part.size // sums.BLOCK))
        ):
            raise codec.corrupt(
                f"{part.name}: its size {part.size} and {len(part.sums)} checksums do not fit", manifest.NAME
            )


def _read(path: str, found: Manifest, name: str) -> bytes:
    """A whole file of the image, checked."""
    part = found.part(name)
    data = _contents(path, name)
    if len(data) != part.size:
        raise wrong_size(name, part.size, len(data))
    sums.compare(name, sums.of_bytes(data), part.sums)
    return data


def _contents(path: str, name: str) -> bytes:
    """A whole file of the image. No FIFO, device or link in its place is waited for or followed."""
    if is_url(path):
        return Remote(path).read(name, 0, _LIMITS[name])
    try:
        fd = os.open(f"{path}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(fd, "rb") as f:
            size = os.fstat(fd).st_size
            if size > _LIMITS[name]:
                raise codec.corrupt(f"has {size} bytes, more than an image can have", name)
            return f.read(size)
    except FileNotFoundError:
        raise _missing(path, name) from None
    except OSError as e:
        raise unreadable(name, e) from e


def _missing(path: str, name: str) -> ImageError:
    return ImageError(
        f"{path} is no image: it has no {name}", code="image-missing", resource=path,
        hint="an image is the directory that replant dump -o has made",
    )  # fmt: skip
