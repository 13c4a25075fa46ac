"""The codec says yes to what it wrote, and no, with the place, to everything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from image.sample import STORE_SIZE, Empty, Point, model, resolve, rich
from replant.errors import Bug, ImageError
from replant.image import codec, rawjson
from replant.model.frozen import Frozen
from replant.model.tree import Attribute

VERSIONS = {"files/rich": 3, "files/empty": 3, "task/rich": 3, "task/point": 3}


def decode(data: Any, blobs: bytes | None = None, versions: dict[str, int] | None = VERSIONS) -> Any:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return codec.decode(text, codec.encode(model())[1] if blobs is None else blobs, resolve, versions, [STORE_SIZE])


def changed(*path: Any, value: Any) -> Any:
    """The sample as plain arrays, one place of it changed."""
    whole = json.loads(codec.encode(model())[0])
    at = whole
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return whole


def test_what_was_written_is_read() -> None:
    data, blobs = codec.encode(model())
    found = codec.decode(data, blobs, resolve, VERSIONS, [STORE_SIZE])
    assert found == model()
    assert type(found.files[1].state) is type(rich()) and type(found.files[0].state) is Empty
    assert type(found.files[1].state.points[0]) is Point and type(found.mms[0].vmas) is tuple
    assert codec.encode(found) == (data, blobs)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ((0,), "10", "root must be an integer of 64 bits, not '10'"),
        ((0,), True, "root must be an integer of 64 bits, not True"),
        ((0,), 10.0, "root must be an integer of 64 bits, not 10.0"),
        ((1,), 1 << 64, "clock must be an integer of 64 bits, not 18446744073709551616"),
        ((2, 1, 10), 5, "tasks[1].comm must be a string"),
        ((2, 1, 10), "a\0b", "tasks[1].comm must be a string without NUL"),
        ((2, 1, 10), "\ud800", "tasks[1].comm must be a string without NUL, of bytes that a path can have"),
        ((2, 1, 10), "x" * 70000, "tasks[1].comm"),
        ((2, 1, 7), 1, "tasks[1].subreaper must be true or false, not 1"),
        ((2, 1), [1, 2], "tasks[1] must be an array of 19 fields, not an array of 2"),
        ((2, 1), None, "tasks[1] must be an array, not None"),
        ((2, 1), {"pid": 1}, "tasks[1] must be an array, not an object"),
        ((3, 1, 1, 2, 0), "1", "mms[1].vmas[2].start must be an integer"),
        ((5, 1, 5, 1), [0], "files[1].state.data must be [offset, length] in the blobs"),
        ((5, 1, 5, 1), [0, 10**9], "files[1].state.data [0, 1000000000] lies outside"),
        ((5, 1, 5, 1), [-1, 1], "lies outside"),
        ((5, 1, 5, 4, 1, 1), 3, "files[1].state.points[1].label must be a string"),
        ((5, 1, 5, 5), [1, 2], "files[1].state.owner must be an array of 5 fields"),
        ((5, 1, 5, 6), [1, 2], "files[1].state.pair[1] must be a string"),
        ((5, 1, 5, 8), ["a", 1], "files[1].state.names[1] must be a string"),
        ((6, 2, 2, 0), 9, "attributes[2].state.path must be a string"),
        ((6, 3, 2, 0), [], "attributes[3].state.x must be an integer"),
        ((5, 1, 1), "no/module", "'no/module' is no name of a kind"),
        ((5, 1, 1), "_private", "is no name of a kind"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(path: tuple[Any, ...], value: Any, words: str) -> None:
    with pytest.raises(ImageError) as e:
        decode(changed(*path, value=value))
    assert words in str(e.value)
    assert e.value.code == "image-corrupt"


def test_a_kind_of_another_version_is_refused_by_name() -> None:
    with pytest.raises(ImageError) as e:
        decode(changed(5, 1, 1, value="unheard_of"))
    assert e.value.code == "image-kind" and "files/unheard_of" in str(e.value)
    with pytest.raises(ImageError) as e:
        decode(codec.encode(model())[0], versions={**VERSIONS, "files/rich": 4})
    assert e.value.code == "image-version" and "version 4 of kind files/rich" in str(e.value)
    with pytest.raises(ImageError) as e:
        decode(codec.encode(model())[0], versions={"files/rich": 3})
    assert "the manifest gives no version of" in str(e.value)


def test_older_rows_are_upgraded() -> None:
    old = json.loads(codec.encode(model())[0])
    for row in (old[5][1][5], old[6][0][2], old[6][2][2]):
        del row[1]
    found = decode(old, versions={**VERSIONS, "files/rich": 1, "task/rich": 1})
    assert found.files[1].state == rich()._replace(data=b"new")
    assert found.attributes[2].state == rich(4)._replace(data=b"new")


def test_a_version_that_can_no_longer_be_read_is_refused() -> None:
    with pytest.raises(ImageError) as e:
        decode(codec.encode(model())[0], versions={**VERSIONS, "files/rich": 0})
    assert e.value.code == "image-version" and "can no longer be read" in str(e.value)


def test_rows_that_an_upgrade_chokes_on_are_corrupt() -> None:
    with pytest.raises(ImageError) as e:
        decode(changed(5, 1, 5, value=5), versions={**VERSIONS, "files/rich": 1})
    assert e.value.code == "image-corrupt" and "no row of its version 1" in str(e.value)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[",
        b"[]",
        b"{}",
        b"null",
        b"5",
        b"NaN",
        b"[1,2,3] ",
        b"\xff\xfe",
        b"[" * 100_000,
        b"1" * 100_000,
        b'"\\ud8"',
    ],
)
def test_other_json_is_refused(text: bytes) -> None:
    with pytest.raises(ImageError) as e:
        decode(text)
    assert e.value.code == "image-corrupt"


def test_something_after_the_end_is_refused() -> None:
    data, blobs = codec.encode(model())
    for more in (b" x", b"[]", b"\0"):
        with pytest.raises(ImageError, match="follows after its end"):
            decode(data + more)
    with pytest.raises(ImageError, match="belongs to no field"):
        decode(data, blobs + b"x")


def test_each_blob_byte_belongs_to_one_field() -> None:
    whole = json.loads(codec.encode(model())[0])
    whole[6][0][2][1] = whole[5][1][5][1]
    with pytest.raises(ImageError, match=r"blobs"):
        decode(whole)
    start, length = json.loads(codec.encode(model())[0])[5][1][5][1]
    with pytest.raises(ImageError, match=r"belong to no field"):
        decode(changed(5, 1, 5, 1, value=[start, length - 1]))


def test_many_references_to_one_blob_take_no_memory() -> None:
    """A small image cannot become a large one: ten thousand references to one MiB are refused at the second."""
    size = 1 << 20
    rows = [["rich", 10, ["", [0, size], True, 0, [], None, [0, ""], [], None, [], [[0, size]] * 10_000]]]
    whole = changed(6, value=rows)
    with pytest.raises(ImageError, match="overlaps"):
        decode(whole, blobs=bytes(size))


def test_extents_must_lie_in_the_page_store() -> None:
    with pytest.raises(ImageError, match="outside of the page store"):
        decode(changed(5, 1, 5, 9, 0, 2, value=STORE_SIZE - 4095))
    with pytest.raises(ImageError, match="outside of the page store"):
        decode(changed(5, 1, 5, 9, 0, 1, value=-1))


def test_what_no_image_can_hold_is_a_bug_of_ours() -> None:
    class Odd(Frozen):
        x: dict[str, int]

    with pytest.raises(Bug, match="cannot have a field of type"):
        codec.decode(codec.encode(model())[0], codec.encode(model())[1], lambda f, k: Odd)
    with pytest.raises(Bug, match="which no image can hold"):
        codec.encode(model()._replace(attributes=(Attribute("odd", 10, Odd({1, 2})),)))  # type: ignore[arg-type]


def test_both_json_engines_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = codec.encode(model())
    ours = rawjson.parse(data.decode())
    monkeypatch.setitem(sys.modules, "_json", None)
    assert rawjson.parse(data.decode()) == ours == json.loads(data)
    assert rawjson.render(ours, repr).encode() == data
    with pytest.raises(ValueError, match="occurs twice"):
        rawjson.parse('{"a":1,"a":2}')


def test_the_codec_is_cheap_to_import() -> None:
    """Neither json nor re nor typing is on the way of a dump or a restore."""
    program = "import sys; import replant.image.container; print(*{'json','re','typing','enum'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
