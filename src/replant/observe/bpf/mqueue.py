"""What waits in POSIX message queues, and who is to be told of the next message; read without taking anything out."""

from __future__ import annotations

from ..record import Record
from .iterate import FILE, Iterator
from .queues import Queues

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator as Iterating

_PAGE = 4096
_PIECE = 48


class Queued(Record):
    """``messages`` are (priority, bytes), in the order in which they came among those of one priority."""

    messages: tuple[tuple[int, bytes], ...]
    value: int  # sigev_value of mq_notify(2)


class MessageQueues(Queues):
    """Reads the queues behind descriptors."""

    def queued(self, pid: int, fd: int) -> Queued | None:
        """What waits behind descriptor ``fd`` of process ``pid``; None: there is no such descriptor."""
        inode = self._inodes().get((pid, fd))
        if inode is None:
            return None
        info = inode - self._at("mqueue_inode_info", "vfs_inode")
        top = info + self._at("mqueue_inode_info", "msg_tree") + self._at("rb_root", "rb_node")
        nodes = self._trees({(pid, fd): self._words([top])[0]})[pid, fd]
        value = info + self._at("mqueue_inode_info", "notify")  # the first member of a sigevent
        messages = [message for node in nodes for message in self._messages(node)]
        return Queued._make((tuple(messages), self._words([value])[0]))

    def _inodes(self) -> dict[tuple[int, int], int]:
        columns = {"tgid": "task->tgid", "inode": "file->f_inode"}
        iterator = Iterator(FILE, columns, self._layout, self._source.chosen)
        self._source.chosen.choose(list(self._pids))
        records = iterator.scan(64 * len(self._pids))
        rows = zip(*[records.column(name) for name in ("tgid", "number", "inode")], strict=True)
        return {(self._pids[tgid], number): inode for tgid, number, inode in rows}

    def _messages(self, node: int) -> Iterating[tuple[int, bytes]]:
        leaf = node - self._at("posix_msg_tree_node", "rb_node")
        raw = self._memory.read([(leaf + self._at("posix_msg_tree_node", "priority"), 4)])[0]
        head = leaf + self._at("posix_msg_tree_node", "msg_list")
        entries = self._lists({(0, 0): head}, self._at("list_head", "next"))[0, 0]
        for entry in entries:
            yield int.from_bytes(raw, "little"), self._text(entry - self._at("msg_msg", "m_list"))

    def _text(self, message: int) -> bytes:
        """The bytes of a message: behind its head, then behind those of the further pages, ipc/msgutil.c."""
        size, segment = self._words([message + self._at("msg_msg", name) for name in ("m_ts", "next")])
        head = self._layout.sizes["msg_msg"]
        data = self._bytes(message + head, min(size, _PAGE - head))
        head = self._layout.sizes["msg_msgseg"]
        while len(data) < size and segment:
            data += self._bytes(segment + head, min(size - len(data), _PAGE - head))
            segment = self._words([segment + self._at("msg_msgseg", "next")])[0]
        return data

    def _bytes(self, start: int, length: int) -> bytes:
        parts = [(start + done, min(_PIECE, length - done)) for done in range(0, length, _PIECE)]
        return b"".join(self._memory.read(parts))
