"""Work on images alone: making a whole one of a chain, and checking all of one."""

from __future__ import annotations

from struct import Struct

from replant.errors import ReplantError
from replant.image.container import ImageWriter, open_image
from replant.image.remote import resolved
from replant.model.frozen import Frozen
from replant.model.invariants import GUARD
from replant.model.places import split
from replant.pages.store import PageWriter
from replant.resources import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.image.container import Image
    from replant.model.tree import Mm

_row = Struct("<QQQ")


class MergeReport(Frozen):
    """A whole image made of ``images``, the newest one included."""

    image: str
    images: int
    bytes_written: int


class VerifyReport(Frozen):
    """An image that is as it was written: it and all it builds on, with so many bytes in their page stores."""

    image: str
    images: tuple[str, ...]
    bytes_checked: int


def merge(image: str, output: str) -> MergeReport:
    """Make ``output``, an image that holds what ``image`` does, and builds on no other.

    :raises ImageError: ``image``, or one that it builds on, is missing or damaged.
    :raises ReplantError: the storage fails, or ``output`` is one of those images.
    """
    with open_image(image) as source, ImageWriter.create(output, encrypt=source.encrypted) as out:
        _refuse_overwriting(source, out.path)
        model = source.model(registry.state_class)
        source.verify()
        store = PageWriter(out.pages_fd)
        store.keep_whole(source.pages_fd, source.pages_size)  # contents of files stay where they are
        whole = model._replace(mms=tuple(_merged(mm, source.stores(), store) for mm in model.mms))
        notes = dict(source.manifest.notes)
        out.write(whole, registry.state_class, source.manifest.xfeatures, notes)
        out.commit()
        return MergeReport(out.path, 1 + len(source.parents()), out.bytes_written)


def verify(image: str) -> VerifyReport:
    """Check every checksum of an image, and of all it builds on.

    :raises ImageError: something is missing, damaged, or not what it was.
    """
    with open_image(image) as opened:
        opened.model(registry.state_class)
        opened.verify()
        images = (opened, *opened.parents())
        return VerifyReport(resolved(image), tuple(resolved(i.path) for i in images), sum(i.pages_size for i in images))


def _merged(mm: Mm, stores: Sequence[int], store: PageWriter) -> Mm:
    """The address space with all its pages in ``store``, where those of store 0 are already."""
    return mm._replace(runs=b"".join(_row.pack(*row) for row in _rows(mm, stores, store)))


def _rows(mm: Mm, stores: Sequence[int], store: PageWriter) -> Iterator[tuple[int, int, int]]:
    for start, length, place in _row.iter_unpack(mm.runs):
        number, at = (0, 0) if place == GUARD else split(place)
        yield start, length, store.keep_part(stores[number], at, length) if number else place


def _refuse_overwriting(source: Image, output: str) -> None:
    for image in (source, *source.parents()):
        if resolved(image.path) == output:
            raise ReplantError(
                f"{output} is one of the images to be merged",
                code="image-in-use",
                resource=output,
                hint="choose another name, and remove the old images when the new one is there",
            )
