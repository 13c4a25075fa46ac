"""Images that build on others: found, refused when they are not what they were, made whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from struct import iter_unpack, pack

import pytest

from image.sample import model, resolve
from replant.errors import ImageError, ReplantError
from replant.flows import images
from replant.image.container import ImageWriter, open_image
from replant.image.manifest import Parent
from replant.model.invariants import GUARD
from replant.model.places import one_further, place, split
from replant.pages.store import PageWriter

PAGE = 4096


@pytest.fixture(autouse=True)
def kinds_of_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.registry, "state_class", resolve)


def write(path: Path, letter: bytes, rows: list[tuple[int, int, int]], parents: tuple[Parent, ...] = ()) -> Parent:
    """An image of four pages of a letter, with these saved pages; how one that stands beside it refers to it."""
    with ImageWriter.create(str(path)) as image:
        store = PageWriter(image.pages_fd)
        store.put(letter * 4 * PAGE, store.reserve(4 * PAGE))
        runs = b"".join(pack("<QQQ", *row) for row in rows)
        first, *others = model().mms
        image.write(model()._replace(mms=(first._replace(runs=runs), *others)), resolve, parents=parents)
        image.commit()
        return Parent(f"../{path.name}", image.identity, 4 * PAGE)


def chain(folder: Path) -> None:
    """Three images; the last one has a page of its own, one of each other, and a guard page."""
    a = write(folder / "a", b"a", [(0x10000, PAGE, 0)])
    b = write(folder / "b", b"b", [(0x10000, PAGE, place(1, 0))], (a,))
    rows = [(0x10000, PAGE, place(2, 0)), (0x11000, PAGE, place(1, PAGE)), (0x12000, PAGE, 0), (0x13000, PAGE, GUARD)]
    write(folder / "c", b"c", rows, (b, a))


def test_places() -> None:
    assert split(place(3, 8192)) == (3, 8192)
    assert split(one_further(place(3, 8192))) == (4, 8192)
    assert split(4096) == (0, 4096)


def test_a_chain_is_opened_with_all_its_stores(tmp_path: Path) -> None:
    chain(tmp_path)
    with open_image(str(tmp_path / "c")) as image:
        image.model(resolve)
        assert len(image.stores()) == 3
        image.verify()
    found = images.verify(str(tmp_path / "c"))
    assert [Path(i).name for i in found.images] == ["c", "b", "a"]
    assert found.bytes_checked == 3 * 4 * PAGE


def test_merged_it_needs_nobody(tmp_path: Path) -> None:
    chain(tmp_path)
    report = images.merge(str(tmp_path / "c"), str(tmp_path / "whole"))
    assert report.images == 3
    for name in "abc":
        shutil.rmtree(tmp_path / name)
    with open_image(str(tmp_path / "whole")) as image:
        image.verify()
        assert image.manifest.parents == ()
        rows = [*iter_unpack("<QQQ", image.model(resolve).mms[0].runs)]
    pages = (tmp_path / "whole" / "pages.bin").read_bytes()
    assert [(start, pages[at : at + 1]) for start, _, at in rows[:3]] == [
        (0x10000, b"a"),
        (0x11000, b"b"),
        (0x12000, b"c"),
    ]
    assert rows[3][2] == GUARD


@pytest.mark.parametrize("name", "abc")
def test_merging_overwrites_none_of_them(tmp_path: Path, name: str) -> None:
    chain(tmp_path)
    with pytest.raises(ReplantError, match="is one of the images"):
        images.merge(str(tmp_path / "c"), str(tmp_path / name))
    images.verify(str(tmp_path / "c"))


@pytest.mark.parametrize("name", "ab")
def test_a_parent_that_is_gone_is_named(tmp_path: Path, name: str) -> None:
    chain(tmp_path)
    shutil.move(tmp_path / name, tmp_path / "elsewhere")
    with open_image(str(tmp_path / "c")) as image:
        image.model(resolve)  # what it is like can be shown all the same
        with pytest.raises(ImageError, match=f"builds on the image {tmp_path / name}, which cannot be used") as e:
            image.stores()
        assert e.value.code == "image-parent"


def test_a_parent_that_was_replaced_is_refused(tmp_path: Path) -> None:
    chain(tmp_path)
    shutil.rmtree(tmp_path / "a")
    write(tmp_path / "a", b"A", [(0x10000, PAGE, 0)])
    with pytest.raises(ImageError, match="another one is there now") as e:
        images.verify(str(tmp_path / "c"))
    assert e.value.code == "image-parent"


def test_a_damaged_parent_is_found(tmp_path: Path) -> None:
    chain(tmp_path)
    with open(tmp_path / "a" / "pages.bin", "r+b") as file:
        file.write(b"x")
    with pytest.raises(ImageError, match="a checksum does not fit"):
        images.verify(str(tmp_path / "c"))


def test_a_place_in_a_store_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "bad", b"x", [(0x10000, PAGE, place(1, 0))])
    with open_image(str(tmp_path / "bad")) as image, pytest.raises(ImageError, match="outside of the page store"):
        image.model(resolve)
