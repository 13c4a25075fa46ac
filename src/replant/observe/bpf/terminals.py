"""Terminals as the kernel sees them: which descriptors and processes share one, and what nobody has read yet.

No interface tells what waits in a terminal without taking it out, nor whether a slave is open somewhere else. Exact as
long as whoever writes to the terminal is stopped.
"""

from __future__ import annotations

from ..record import Record
from .iterate import FILE, TASK, Iterator, Kind
from .memory import MAX_READ
from .source import BpfSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAJORS = (4, 5, *range(136, 144))
_MINOR = 20  # MINORBITS of linux/kdev_t.h
_RING = 4096  # N_TTY_BUF_SIZE
_BUFFERS = 1024  # more than fit into a terminal's limit of memory


class Tty(Record):
    """One side of a terminal.

    ``other``: the key of the other side of a pair, 0: none. ``opens``: open files, with one more for the master of a
    slave. ``read``: what its reader has not taken yet, ``ends`` the offsets at which lines end there; ``raw``: what
    has not even been looked at, as the ring is full. ``quoted``: the next character is literal (VLNEXT). ``echoes``:
    bytes of echo that found no room. ``stopped``: no output, by the stop character or by tcflow(3) (``by_call``).
    """

    other: int
    number: int
    opens: int
    read: bytes
    ends: tuple[int, ...]
    raw: bytes
    quoted: bool
    echoes: int
    stopped: bool
    by_call: bool


class Terminals:
    """The terminals of some processes. Keys are equal for one side of one terminal, and mean nothing else.

    ``files``: by (pid, descriptor). ``controlling``: by pid, those that have one. ``sides``: by key.
    """

    def __init__(self, source: BpfSource, numbers: Mapping[int, int]) -> None:
        """``numbers``: pids as the caller knows them, and as the initial pid namespace does."""
        self._source = source
        self._pids = {tgid: pid for pid, tgid in numbers.items()}
        self._keys: dict[int, int] = {0: 0}
        files, tasks = self._files(), self._tasks()
        self.files = {holder: self._key(tty) for holder, tty in files.items()}
        self.controlling = {pid: self._key(tty) for pid, tty in tasks.items() if tty}
        known = set(self._keys) - {0}
        known |= set(self._words([tty + self._at("tty_struct", "link") for tty in known])) - {0}
        self.sides = {self._key(tty): self._side(tty) for tty in sorted(known, key=self._key)}

    def _files(self) -> dict[tuple[int, int], int]:
        columns = {"tgid": "task->tgid", "rdev": "file->f_inode->i_rdev", "private": "file->private_data"}
        rows = self._scan(Iterator(FILE, columns, self._source.layout, self._source.chosen), "number", *columns)
        rows = [row for row in rows if row[2] >> _MINOR in _MAJORS and row[3]]
        ttys = self._words([private + self._at("tty_file_private", "tty") for *_, private in rows])
        return {(self._pids[tgid], fd): tty for (fd, tgid, _, _), tty in zip(rows, ttys, strict=True)}

    def _tasks(self) -> dict[int, int]:
        columns = {"tgid": "task->tgid", "tty": "task->signal->tty"}
        leaders = Kind(TASK.name, TASK.structures, leaders=True)
        rows = self._scan(Iterator(leaders, columns, self._source.layout, self._source.chosen), *columns)
        return {self._pids[tgid]: tty for tgid, tty in rows}

    def _scan(self, iterator: Iterator, *names: str) -> list[tuple[int, ...]]:
        self._source.chosen.choose(list(self._pids))
        records = iterator.scan(64 * len(self._pids))
        return list(zip(*[records.column(name) for name in names], strict=True))

    def _side(self, tty: int) -> Tty:
        at = self._at
        other, disc, port = self._words([tty + at("tty_struct", name) for name in ("link", "disc_data", "port")])
        index, count = self._numbers([tty + at("tty_struct", name) for name in ("index", "count")], 4)
        flow = self._numbers([tty + at("tty_struct", name) for name in ("flow.stopped", "flow.tco_stopped")], 1)
        read, ends, quoted, echoes = self._ring(disc) if disc else (b"", (), False, 0)
        raw = self._buffered(port + at("tty_port", "buf")) if port else b""
        return Tty(self._key(other), index, count, read, ends, raw, quoted, echoes, bool(flow[0]), bool(flow[1]))

    def _ring(self, disc: int) -> tuple[bytes, tuple[int, ...], bool, int]:
        """What the line discipline N_TTY holds for its reader, and of the echo."""
        names = ("read_head", "read_tail", "echo_head", "echo_tail")
        head, tail, echo, echoed = self._words([disc + self._at("n_tty_data", name) for name in names])
        lnext = self._source.layout.places["n_tty_data", "lnext"]
        (flags,) = self._numbers([disc + lnext.offset], 4)
        quoted = flags << lnext.shift[0] & (1 << 64) - 1
        waiting = min(head - tail, _RING)
        if not waiting:
            return b"", (), bool(quoted), echo - echoed
        ring = self._bytes(disc + self._at("n_tty_data", "read_buf"), _RING)
        marks = int.from_bytes(self._bytes(disc + self._at("n_tty_data", "read_flags"), _RING // 8), "little")
        places = [(tail + i) % _RING for i in range(waiting)]
        ends = tuple([i for i, place in enumerate(places) if marks >> place & 1])
        return bytes([ring[place] for place in places]), ends, bool(quoted), echo - echoed

    def _buffered(self, buffers: int) -> bytes:
        """What stands in the buffers before the line discipline."""
        found = b""
        (buffer,) = self._words([buffers + self._at("tty_bufhead", "head")])
        for _ in range(_BUFFERS):
            if not buffer:
                break
            commit, read = self._numbers([buffer + self._at("tty_buffer", name) for name in ("commit", "read")], 4)
            found += self._bytes(buffer + self._at("tty_buffer", "data") + read, commit - read)
            (buffer,) = self._words([buffer + self._at("tty_buffer", "next")])
        return found

    def _bytes(self, address: int, length: int) -> bytes:
        parts = range(0, length, MAX_READ)
        return b"".join(self._source.context.memory.read([(address + at, min(MAX_READ, length - at)) for at in parts]))

    def _words(self, addresses: Sequence[int]) -> list[int]:
        return self._numbers(addresses, 8)

    def _numbers(self, addresses: Sequence[int], size: int) -> list[int]:
        found = self._source.context.memory.read([(address, size) for address in addresses])
        return [int.from_bytes(raw, "little") for raw in found]

    def _at(self, structure: str, member: str) -> int:
        return self._source.layout.places[structure, member].offset

    def _key(self, address: int) -> int:
        return self._keys.setdefault(address, len(self._keys))
