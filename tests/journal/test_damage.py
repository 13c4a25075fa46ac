"""A journal that was cut, changed or made up gives a clear error, and never a line that was not written."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replant.abi import names
from replant.journal import Journal, site
from replant.journal.events import Damaged
from replant.journal.export import as_json, as_trace
from replant.journal.layout import (
    BATCH,
    BATCH_ARGS,
    BLOCK,
    BLOCK_HEADER,
    BLOCK_MAGIC,
    DEFINE,
    EVENTS,
    FILE_HEADER,
    FILE_MAGIC,
    HEAD,
    SLOT,
    SLOTS,
    VERSION,
    sealed,
    site_number,
)
from replant.journal.reader import Reader
from replant.journal.render import Renderer
from replant.journal.why import why

COUNT = site("damage.count", "%d of %x")
WORDS = site("damage.words", "%s at %d: %s")
KEY = 0x1234567890ABCDE


def lines_of(path: str) -> list[str]:
    """Every line a reader can get out of a file, by every way there is."""
    with Reader(path) as reader:
        renderer = Renderer(reader.header, names)
        found = []
        try:
            for event in reader.events():
                found.extend(renderer.lines(event))
        except Damaged:
            return found
        json.loads("".join(as_json(reader, reader.events(), renderer)))
        json.loads("".join(as_trace(reader, reader.events(), renderer)))
        assert len(why(reader, renderer)) <= 10
        return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[str], list[int]]:
    """The bytes of a closed journal of several blocks, its lines, and where bytes stand that are not 0."""
    path = tmp_path_factory.mktemp("damage") / "journal"
    with Journal.create(str(path)) as journal:
        for number in range(1000):
            COUNT(journal, number, number * 3)
            if number % 50 == 0:
                WORDS(journal, "/a/path", number, "long " * 30)
                journal.batch(number, number, bytes(64 * 5), reason="why")
    content = path.read_bytes()
    return content, lines_of(str(path)), [at for at, byte in enumerate(content) if byte]


slow = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@slow
@given(data=st.data())
def test_a_changed_byte_of_a_closed_journal_is_noticed(whole, tmp_path: Path, data: st.DataObject):
    content, lines, places = whole
    at = data.draw(st.one_of(st.integers(0, len(content) - 1), st.sampled_from(places)))
    changed = bytearray(content)
    changed[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "journal"
    path.write_bytes(changed)
    try:
        found = lines_of(str(path))
    except Damaged:
        return
    assert found == lines


@slow
@given(size=st.integers(0, 1 << 19))
def test_a_cut_journal_gives_true_lines_and_says_so(whole, tmp_path: Path, size: int):
    content, lines, _ = whole
    size %= len(content)
    path = tmp_path / "journal"
    path.write_bytes(content[:size])
    try:
        with Reader(str(path)) as reader:
            renderer = Renderer(reader.header, names)
            found = [line for event in reader.events() for line in renderer.lines(event)]
            assert reader.losses() or found == lines  # unless all that is gone are blocks nobody used
    except Damaged:
        return
    assert found == lines or (size % BLOCK == 0 and found == lines[: len(found)])


@slow
@given(content=st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "journal"
    for beginning in (b"", FILE_MAGIC):
        path.write_bytes(beginning + content)
        with pytest.raises(Damaged):
            lines_of(str(path))


def slot(number: int, size: int, more: int, args: bytes = b"", *, key: int = KEY, when: int = 5) -> bytes:
    return HEAD.pack(number, size, more, when, args, key.to_bytes(8, "little"))


def made_up(path: Path, events: bytes, definitions: bytes = b"", **header: int) -> str:
    """A journal from hostile hands: all its checks are right."""
    first = sealed(FILE_HEADER.pack(FILE_MAGIC, VERSION, BLOCK, 1, 0, 0, 0, KEY)) + definitions
    fields = {"lane": 1, "ordinal": 0, "pid": 1, "tid": 1, "kind": EVENTS} | header
    second = sealed(BLOCK_HEADER.pack(BLOCK_MAGIC, *fields.values(), KEY, 1, b"main")) + events
    path.write_bytes(first.ljust(BLOCK, b"\0")[:BLOCK] + second.ljust(BLOCK, b"\0")[:BLOCK])
    return str(path)


def defined(*words: str) -> tuple[bytes, int]:
    """A definition record, and the number of the site it defines."""
    blob = b"".join(word.encode() + b"\0" for word in words)
    return slot(DEFINE, len(blob), -(-len(blob) // SLOT)) + blob.ljust(
        -(-len(blob) // SLOT) * SLOT, b"\0"
    ), site_number(blob)


def test_words_of_a_site_cannot_make_a_line_of_their_own(tmp_path: Path):
    definition, number = defined("ki\nnd", "20", "one\n12:00:00 [1] line: two\x1b[2J %s", "place")
    path = made_up(tmp_path / "journal", slot(number, 6, 0, b"a\nb\x9b\xffc"), definition)
    (line,) = lines_of(path)
    assert line.isprintable() and "\\n" in line


HOSTILE = {
    "an event of no site": (slot(99, 0, 0), b""),
    "a payload beyond the block": (slot(BATCH, 60000, 65535), b""),
    "more bytes than slots": (slot(BATCH, 65, 1), b""),
    "text that is not there": (slot(BATCH, 41, 0), b""),
    "a batch of more calls than it has": (slot(BATCH, 64, 1, BATCH_ARGS.pack(1, 1, 0, 2, 0)) + bytes(64), b""),
    "a batch of billions": (slot(BATCH, 64, 1, BATCH_ARGS.pack(1, 1, 0, 0xFFFFFFFF, 0)) + bytes(64), b""),
    "definitions that are none": (b"", slot(DEFINE, 10, 1) + b"\xff" * 64),
    "a level that is no number": (b"", defined("kind", "high", "form", "place")[0]),
    "a conversion that does not exist": (b"", defined("kind", "20", "%z", "place")[0]),
    "more integers than fit": (b"", defined("kind", "20", "%d" * 6, "place")[0]),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_records_are_refused(tmp_path: Path, what: str):
    events, definitions = HOSTILE[what]
    with pytest.raises(Damaged), Reader(made_up(tmp_path / "journal", events, definitions)) as reader:
        list(reader.events())


def test_hostile_texts_are_refused(tmp_path: Path):
    definition, number = defined("kind", "20", "%s%s", "place")
    with (
        pytest.raises(Damaged, match="less text"),
        Reader(made_up(tmp_path / "journal", slot(number, 4, 0, b"\xff\xffab"), definition)) as reader,
    ):
        list(reader.events())


def test_text_beyond_the_arguments_is_refused(tmp_path: Path):
    definition, number = defined("kind", "20", "%d%s", "place")
    with (
        pytest.raises(Damaged, match="40 bytes of text in 32"),
        Reader(made_up(tmp_path / "journal", slot(number, 40, 0, b"x" * 40), definition)) as reader,
    ):
        list(reader.events())


def test_a_payload_with_the_key_in_it_is_no_event(tmp_path: Path):
    definition, number = defined("kind", "20", "%s", "place")
    payload = slot(number, 5, 0, b"false") * (SLOTS - 2)
    with Reader(made_up(tmp_path / "journal", slot(BATCH, 0, SLOTS - 2) + payload, definition)) as reader:
        assert [event.site.kind for event in reader.events()] == ["call"]


@pytest.mark.parametrize("header", [{"kind": 7}, {"lane": 0}])
def test_hostile_headers_are_refused(tmp_path: Path, header: dict[str, int]):
    with pytest.raises(Damaged):
        Reader(made_up(tmp_path / "journal", b"", **header))


def test_a_version_of_the_future_is_named(tmp_path: Path):
    path = tmp_path / "journal"
    path.write_bytes(sealed(FILE_HEADER.pack(FILE_MAGIC, 2, BLOCK, 1, 0, 0, 0, KEY)).ljust(BLOCK, b"\0"))
    with pytest.raises(Damaged, match="version 2"):
        Reader(str(path))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32))
def test_records_of_any_content_are_read_or_refused(tmp_path: Path, seed: int):
    """Records whose key is right and whose every other field is random, definitions among them."""
    chance = random.Random(seed)
    forms = ["%s", "%d%s", "%s%s%e", "%x%g%n", "%t", "%q%p", "%%"]
    definition, number = defined("kind", chance.choice(["10", "20", "-5", "9999"]), chance.choice(forms), "place")
    events = b""
    for _ in range(chance.randrange(30)):
        which = chance.choice([number, BATCH, chance.randrange(6)])
        more = chance.choice([0, 0, 1, 3])
        size = chance.choice([chance.randrange(41), chance.randrange(64 * more + 1)])
        events += slot(which, size, more, chance.randbytes(40), when=chance.getrandbits(64))
        events += chance.randbytes(64 * more)
    try:
        for line in lines_of(made_up(tmp_path / "journal", events, definition)):
            assert line.isprintable()
    except Damaged:
        pass
