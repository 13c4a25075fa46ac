"""What waits inside kernel objects: targets of epoll sets, messages of unix sockets, signals not yet delivered.

No interface tells these without the task's help, or without taking them out. They are read from the kernel's memory,
all objects of a kind together: a list of a thousand messages takes a system call a message, but that for all lists.
Exact only of what nobody can put in or take out meanwhile.
"""

from __future__ import annotations

from struct import unpack

from ..decode import path
from ..record import Record
from .iterate import FILE, TASK, Iterator, Kind
from .paths import OPENED
from .source import BpfSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Holder = tuple[int, int]

_LONGEST = 1 << 16
_EVENTPOLL = "anon_inode:[eventpoll]"
_IO_URING = "anon_inode:[io_uring]"
_S_IFSOCK, _AF_UNIX = 0o140000, 1
_SIGINFO = 48


class EpollTarget(Record):
    """A member of an epoll set: the number it was added by, its file description, ``struct epoll_event``."""

    pid: int
    epfd: int
    fd: int
    file_key: int
    events: int
    data: int


class Message(Record):
    """A message in the receive queue of a unix socket: its bytes, and the descriptions that travel with it."""

    pid: int
    fd: int
    length: int
    file_keys: tuple[int, ...]


class PendingSignal(Record):
    """A signal that waits; ``info`` is the first 48 bytes of siginfo_t. ``tid`` 0: for the process."""

    pid: int
    tid: int
    info: bytes


class Ring(Record):
    """An io_uring instance: flags of io_uring_setup(2), whether timeouts wait, whether an eventfd is registered."""

    pid: int
    fd: int
    flags: int
    timeouts: bool
    eventfd: bool


class Queues:
    """Reads queues of some processes; keys are those of the facts about files of the same observation."""

    def __init__(self, source: BpfSource, numbers: Mapping[int, int]) -> None:
        """``numbers``: pids as the caller knows them, and as the initial pid namespace does."""
        self._source = source
        self._pids = {tgid: pid for pid, tgid in numbers.items()}
        self._layout = source.layout
        self._memory = source.context.memory
        self._keys = source.context.keys("file")

    def epoll(self) -> list[EpollTarget]:
        """The members of every epoll set, by descriptor."""
        sets = {(pid, fd): private for pid, fd, private, text, *_ in self._files() if text == _EVENTPOLL}
        root = self._at("eventpoll", "rbr") + self._at("rb_root_cached", "rb_root") + self._at("rb_root", "rb_node")
        tops = self._words([private + root for private in sets.values()])
        found: list[EpollTarget] = []
        for (pid, fd), nodes in self._trees(dict(zip(sets, tops, strict=True))).items():
            found += [EpollTarget(pid, fd, *item) for item in self._items(nodes)]
        return found

    def _trees(self, tops: Mapping[Holder, int]) -> dict[Holder, list[int]]:
        """All nodes of several red-black trees, level by level."""
        found: dict[Holder, list[int]] = {holder: [] for holder in tops}
        level = [(holder, node) for holder, node in tops.items() if node]
        left, right = self._at("rb_node", "rb_left"), self._at("rb_node", "rb_right")
        while level:
            for holder, node in level:
                found[holder].append(node)
            below = self._words([node + side for _, node in level for side in (left, right)])
            owners = [holder for holder, _ in level for _ in (left, right)]
            level = [(holder, node) for holder, node in zip(owners, below, strict=True) if node]
            if sum(map(len, found.values())) > _LONGEST:
                break
        return found

    def _items(self, nodes: Sequence[int]) -> Iterable[tuple[int, int, int, int]]:
        rbn, ffd, event = (self._at("epitem", name) for name in ("rbn", "ffd", "event"))
        file, fd = self._at("epoll_filefd", "file"), self._at("epoll_filefd", "fd")
        data = self._at("epoll_event", "data")
        places = [(node - rbn + ffd + file, 8) for node in nodes], [(node - rbn + ffd + fd, 4) for node in nodes]
        events = [(node - rbn + event, 4) for node in nodes], [(node - rbn + event + data, 8) for node in nodes]
        raw = self._memory.read([*places[0], *places[1], *events[0], *events[1]])
        count = len(nodes)
        for at in range(count):
            address, number, mask, value = (int.from_bytes(raw[at + part * count], "little") for part in range(4))
            yield number, self._key(address), mask, value

    def messages(self) -> list[Message]:
        """The messages in the receive queues of unix sockets, oldest first."""
        heads = {}
        for pid, fd, _, _, mode, family, sock in self._files():
            if mode & 0o170000 == _S_IFSOCK and family == _AF_UNIX:
                heads[pid, fd] = sock + self._at("sock", "sk_receive_queue")
        lists = self._lists(heads, self._at("sk_buff", "next"))
        return [
            Message(*holder, *message) for holder, buffers in lists.items() for message in map(self._message, buffers)
        ]

    def _message(self, buffer: int) -> tuple[int, tuple[int, ...]]:
        length, parts = self._memory.read(
            [
                (buffer + self._at("sk_buff", "len"), 4),
                (buffer + self._at("sk_buff", "cb") + self._at("unix_skb_parms", "fp"), 8),
            ]
        )
        passed = int.from_bytes(parts, "little")
        if not passed:
            return int.from_bytes(length, "little"), ()
        [count] = self._memory.read([(passed + self._at("scm_fp_list", "count"), 2)])
        first = passed + self._at("scm_fp_list", "fp")
        files = self._words([first + 8 * i for i in range(int.from_bytes(count, "little"))])
        return int.from_bytes(length, "little"), tuple(map(self._key, files))

    def pending(self) -> list[PendingSignal]:
        """The signals that wait for threads and processes, in the order of their arrival."""
        heads: dict[Holder, int] = {}
        list_at = self._at("sigpending", "list")
        for tgid, tid, task, signal in self._tasks():
            pid = self._pids[tgid]
            heads[pid, tid] = task + self._at("task_struct", "pending") + list_at
            heads[pid, 0] = signal + self._at("signal_struct", "shared_pending") + list_at
        offset = self._at("sigqueue", "list")
        lists = self._lists(heads, self._at("list_head", "next"))
        info = self._at("sigqueue", "info") - offset
        found = []
        for (pid, tid), entries in lists.items():
            found += [
                PendingSignal(pid, tid, raw) for raw in self._memory.read([(e + info, _SIGINFO) for e in entries])
            ]
        return found

    def _lists(self, heads: Mapping[Holder, int], following: int) -> dict[Holder, list[int]]:
        """The entries of several circular lists, one step in all of them at a time."""
        found: dict[Holder, list[int]] = {holder: [] for holder in heads}
        current = dict(heads)
        for _ in range(_LONGEST):
            if not current:
                break
            # the head is where the pointer to the first entry is, as in every entry
            step = self._words([at + (following if at != heads[h] else 0) for h, at in current.items()])
            current = {h: to for h, to in zip(current, step, strict=True) if to and to != heads[h]}
            for holder, entry in current.items():
                found[holder].append(entry)
        return found

    def rings(self) -> list[Ring]:
        """The io_uring instances, by descriptor."""
        rings = {(pid, fd): private for pid, fd, private, text, *_ in self._files() if text == _IO_URING}
        waiting = self._at("io_ring_ctx", "timeout_list")
        found = []
        for holder, context in rings.items():
            first, eventfd = self._words([context + waiting, context + self._at("io_ring_ctx", "io_ev_fd")])
            [flags] = self._memory.read([(context + self._at("io_ring_ctx", "flags"), 4)])
            found.append(Ring(*holder, int.from_bytes(flags, "little"), first != context + waiting, eventfd != 0))
        return found

    def _files(self) -> list[tuple[int, int, int, object, int, int, int]]:
        columns = {
            "tgid": "task->tgid",
            "private": "file->private_data",
            "mnt": "file->f_path.mnt",
            "dentry": "file->f_path.dentry",
            "mode": "file->f_inode->i_mode",
            "family": "file->private_data->sk->__sk_common.skc_family",
            "sock": "file->private_data->sk",
        }
        iterator = Iterator(Kind(FILE.name, FILE.structures, [OPENED]), columns, self._layout, self._source.chosen)
        self._source.chosen.choose(list(self._pids))
        records = iterator.scan(64 * len(self._pids))
        self._source.context.texts.update(iterator.texts())

        def get(name: str) -> Sequence[int]:
            return records.column(name)

        texts = path(self._source.context, get("mnt"), get("dentry"))
        pids = [self._pids[tgid] for tgid in get("tgid")]
        return list(
            zip(pids, get("number"), get("private"), texts, get("mode"), get("family"), get("sock"), strict=True)
        )

    def _tasks(self) -> list[tuple[int, ...]]:
        number = "0? task->pid | task->thread_pid->numbers[L].nr"
        columns = {"tgid": "task->tgid", "tid": number, "address": "", "signal": "task->signal"}
        iterator = Iterator(TASK, columns, self._layout, self._source.chosen, self._source.level)
        self._source.chosen.choose(list(self._pids))
        records = iterator.scan(4 * len(self._pids))
        return list(zip(*[records.column(name) for name in columns], strict=True))

    def _words(self, addresses: Sequence[int]) -> list[int]:
        return [unpack("=Q", raw)[0] for raw in self._memory.read([(address, 8) for address in addresses])]

    def _at(self, structure: str, member: str) -> int:
        return self._layout.places[structure, member].offset

    def _key(self, address: int) -> int:
        return self._keys.setdefault(address, len(self._keys))
