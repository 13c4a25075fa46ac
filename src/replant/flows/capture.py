"""From a frozen tree to its model: what the kernel tells, what the tasks answer, what every kind makes of it.

All blockers of a tree are collected and told at once. Nothing is changed in the tree, and no page is copied here.
"""

from __future__ import annotations

import os
import time

from replant.abi import machine, tty
from replant.errors import Blocker, Refused, TaskGone
from replant.flows import borders, elsewhere, shares
from replant.flows.asking import Asker, told_of
from replant.flows.facts import Facts
from replant.flows.files import Files
from replant.flows.threads import DeadView, ThreadView
from replant.flows.tree import derive_tree
from replant.journal import current
from replant.model.tree import Attribute, Mm, Model, Task, Vma
from replant.observe import procfs
from replant.pages.scan import is_watched
from replant.pages.store import PageReader, PageWriter
from replant.policy import DEFAULT
from replant.resources import advice, registry
from replant.resources.shared import holders
from replant.tracee import freeze, remote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Literal

    from replant.model.tree import Extent
    from replant.observe.bpf.terminals import Terminals
    from replant.observe.procfs import Mapping, Stat
    from replant.policy import Policy
    from replant.resources.protocol import FileFacts
    from replant.tracee.freeze import FrozenTree
    from replant.tracee.inside import Inside
    from replant.tracee.task import FrozenTask

_EXITING = 4  # PF_EXITING of /proc/PID/stat: flags


class Capture:
    """One look at a frozen tree; the `DumpSide` that kinds are given."""

    def __init__(
        self, frozen: FrozenTree, store: PageWriter, policy: Policy, asker: Asker, facts: Facts, image: str = ""
    ) -> None:
        self.frozen = frozen
        self.image = image
        self._asker = asker
        self._facts = facts
        self.files = Files()
        self.blockers: list[Blocker] = []
        self._known: list[Attribute] = []
        self._store = store
        self._policy = policy
        self._alive = [t for t in frozen.tasks if not t.zombie]
        self._stats = {t.pid: procfs.stat(t.pid) for t in frozen.tasks}
        self._root = os.stat("/")
        self._views: dict[int, ThreadView] = {}
        self._maps: dict[int, Sequence[Mapping]] = {}
        self._left_out = ["[vsyscall]", *(["[uprobes]"] if self.policy("uprobes") == "keep" else ())]
        self._stopped = [t.pid for t in self._alive if t.stop_signal]
        self._told: set[int] = set()
        self._clock = 0  # CLOCK_MONOTONIC in ns at the freeze
        self._terminals: Terminals | Literal[False] | None = False
        self._controlling: dict[int, int] = {}
        self._sharers: dict[str, dict[int, int]] = {}

    # what kinds may ask

    def keep(self, data: bytes) -> Extent:
        """Put bytes into the page store."""
        return self._store.keep(data)

    def keep_file(self, fd: int, size: int) -> tuple[Extent, ...]:
        """Put the contents of a file into the page store."""
        return self._store.keep_file(fd, size)

    def pids(self) -> set[int]:
        """The pids of the tree."""
        return self._stats.keys()  # type: ignore[return-value]

    def mappings(self, dev: int, ino: int) -> int:
        """How many mappings of the tree are of that inode."""
        return self.files.mappings(dev, ino)

    def file_of(self, dev: int, ino: int) -> int | None:
        """The first description of that inode in the tree that is really open."""
        return self.files.number_of_inode(dev, ino)

    def can_rouse(self, number: int) -> bool:
        """Whether a description that is not ready can be made so for a moment."""
        f = self.files.found[number]
        can = registry.hook(registry.file_kind(registry.file_name(f)), "can_rouse")
        return bool(can is not None and can(f))

    def linkable(self, f: FileFacts) -> bool | None:
        """Whether a nameless file may be given a name; None: the kernel does not tell."""
        return self._facts.linkable(f)

    def outsider(self, dev: int, ino: int) -> int:
        """A process outside of the tree that has that nameless inode."""
        pids = self.pids()
        others = (pid for pid in self._facts.sharers(dev, ino) if pid not in pids)
        return next((pid for pid in others if holders.has(pid, dev, ino)), 0)

    def states(self, kind: str) -> Iterable[Any]:
        """The States of an attribute of tasks."""
        return [a.state for a in self._known if a.kind == kind]

    def inode_in_tree(self, ino: int) -> bool:
        """Whether a descriptor of the tree has that inode."""
        return any(f.ino == ino and f.fd >= 0 for f in self.files.found)

    def received(self, fd: int, f: FileFacts) -> int:
        """The number of a description that was in flight through ``f``, of which ``fd`` is our copy."""
        return self.files.received(fd, f)

    def terminals(self) -> Terminals | None:
        """The terminals of the tree, looked at when first asked for."""
        if self._terminals is False:
            masters = self.files.has_device(*tty.PTMX)
            self._terminals = self._facts.terminals() if masters else None
        return self._terminals or None

    def held(self, kind: str) -> Any:
        """What the kind holds still, None if nothing."""
        return self.files.holds.get(kind)

    def policy(self, option: str) -> str:
        """The user's choice for an option."""
        return self._policy.choice(option)

    # the look

    def model(self) -> Model:
        """The model of the tree.

        :raises Refused: something cannot be kept; all of it is listed. :raises TaskGone: a task was killed meanwhile.
        """
        try:
            return self._look()
        except (FileNotFoundError, ProcessLookupError, Refused) as e:  # of the dead much looks as if it were refused
            gone = [task.pid for task in self._alive if is_gone(task.pid)]
            if not gone:
                raise
            raise TaskGone(gone[0], "it was looked at") from e

    def _look(self) -> Model:
        phase = current().phase
        self._clock = clock = time.monotonic_ns()
        with phase("observe"):
            self._facts.choose([t.pid for t in self._alive], clock)
            self.blockers.extend(borders.blockers(self._alive, self._stats, self._facts.told))
            tables = self.files.add_tables((t.pid, *self._facts.files(t.pid)) for t in self._alive)
            mms = [self._mm(t.pid) for t in self._alive]
            links = {t.pid: self._links(t.pid) for t in self._alive}
            self._controlling = self._controlled()
            pids, told = [t.pid for t in self._alive], self._facts.told
            self._sharers = {s.field: shares.first_sharers(s, pids, told) for s in shares.SHARED}
        with phase("ask"):
            insides = remote.each(self._alive, self._asker.first)
            attributes = [a for inside in insides for a in self._attributes(inside, links[inside.task.pid])]
            attributes += self._of_dead()
            self._known = attributes
            tasks = tuple(self._task(t, links.get(t.pid, {})) for t in self.frozen.tasks)
        self.blockers.extend(shares.with_another_root(tasks))
        with phase("files"):
            try:
                files = self.files.read(self, self.blockers)
            finally:
                self.frozen.holds.extend(self.files.holds.values())
        model = Model(self.frozen.root, clock, tasks, tuple(mms), tuple(tables), files, tuple(attributes))
        try:
            derive_tree(model)
        except Refused as refused:
            self.blockers.extend(refused.blockers)
        if self.blockers:
            raise Refused(f"the tree of {self.frozen.root} cannot be dumped", self.blockers)
        return model

    def close(self) -> None:
        """Close every descriptor that was opened to look."""
        self.files.close()

    def _links(self, pid: int) -> dict[str, int]:
        root = os.stat(f"/proc/{pid}/root")
        elsewhere = (root.st_dev, root.st_ino) != (self._root.st_dev, self._root.st_ino)
        return {
            "cwd": self.files.add_link(pid, "cwd", os.O_RDONLY | os.O_DIRECTORY),
            "root": self.files.add_link(pid, "root", os.O_RDONLY | os.O_DIRECTORY) if elsewhere else -1,
            "exe": self.files.add_link(pid, "exe", os.O_RDONLY),
        }

    def _controlled(self) -> dict[int, int]:
        """The description of the controlling terminal of each task that has one, got in the tree."""
        outside = _outside(self._stats[self.frozen.root])
        found = {}
        for pid, s in self._stats.items():
            if s.tty_nr and s.session not in outside:
                terminals = self.terminals()
                key = terminals.controlling.get(pid, 0) if terminals else 0
                found[pid] = self.files.add_terminal(pid, s.tty_nr, key)
        return found

    def _task(self, frozen: FrozenTask, links: dict[str, int]) -> Task:
        s = self._stats[frozen.pid]
        outside = _outside(self._stats[self.frozen.root])
        return Task(
            pid=s.pid,
            ppid=0 if s.pid == self.frozen.root else s.ppid,
            pgid=0 if s.pgrp in outside else s.pgrp,
            sid=0 if s.session in outside else s.session,
            state="Z" if frozen.zombie else "T" if frozen.stop_signal else "R",
            exit_code=s.exit_code if frozen.zombie else 0,
            exit_signal=s.exit_signal,
            subreaper=self._views[s.pid].subreaper if not frozen.zombie else False,
            stop_signal=frozen.stop_signal,
            stop_told=s.pid in self._told,
            comm=s.comm,
            threads=tuple(t.tid for t in frozen.threads) or (s.pid,),
            cwd=links.get("cwd", -1),
            root=links.get("root", -1),
            exe=links.get("exe", -1),
            files_of=self._sharers["files_of"].get(s.pid, 0),
            fs_of=self._sharers["fs_of"].get(s.pid, 0),
            terminal=self._controlling.get(s.pid, -1),
            foreground=max(s.tpgid, 0) if s.pid == s.session and s.pid in self._controlling else 0,
        )

    def _of_dead(self) -> list[Attribute]:
        """What dead children still have: user and group."""
        kinds = [(name, kind) for name, kind in registry.task_kinds().items() if registry.hook(kind, "DEAD")]
        views = [DeadView(t.pid) for t in self.frozen.tasks if t.zombie]
        states = [(name, view.tid, kind.read(view, ())) for view in views for name, kind in kinds]
        return [Attribute(name, tid, state) for name, tid, state in states if state is not None]

    def _attributes(self, inside: Inside, links: dict[str, int]) -> Iterable[Attribute]:
        task, threads = inside.task, inside.task.threads
        own, maps, restart, told = self._stats[task.pid], self._maps[task.pid], self._facts.restart, self._facts.told
        clock = self._clock
        views = [ThreadView(task, t, links, maps, restart, clock, own if t.tid == t.pid else None) for t in threads]
        self._views[task.pid] = views[0]
        try:
            for view, then in zip(views, [*threads[1:], None], strict=True):
                yield from self._asker.ask(view, inside, then, told, self.blockers)
            stopped = [pid for pid in self._stopped if self._stats[pid].ppid == task.pid]
            self._told.update(told_of(stopped, threads[0], inside))
        except Blocker as blocker:
            self.blockers.append(blocker)

    def _mm(self, pid: int) -> Mm:
        self._maps[pid] = self._facts.maps(pid)
        return Mm(pid, tuple(self._vma(pid, m) for m in self._maps[pid] if m.path not in self._left_out))

    def _vma(self, pid: int, m: Mapping) -> Vma:
        if m.path.startswith(("[vvar", "[vdso")):
            return Vma(m.start, m.end, m.prot, m.shared, "", m.offset, "vdso", -1)
        chosen, writable, refused = _words(m.flags or "")
        if m.path[:1] == "[":
            refused = advice.special(m.path) or refused
        if refused and not (refused == advice.WATCHED and is_watched(pid, m.start, m.end)):
            self._refuse(pid, m, refused)
            return Vma(m.start, m.end, m.prot, m.shared, "", m.offset, "anon", -1)
        if m.path == "/[aio] (deleted)":  # no file that could be opened: `task.aio_contexts` makes it
            return Vma(m.start, m.end, m.prot, m.shared, chosen, 0, "aio", -1)
        if m.inode or m.path[:1] == "/":  # the first segment of System V has the inode number 0
            file = self.files.add_mapping(pid, m, m.shared and writable)
            kind = registry.map_name(m.path) if m.path[-1:] in (")", "]") else "file"  # perhaps nameless
            return Vma(m.start, m.end, m.prot, m.shared, chosen, m.offset, kind, file)
        return Vma(m.start, m.end, m.prot, m.shared, chosen, 0, "anon", -1)

    def _refuse(self, pid: int, m: Mapping, word: str) -> None:
        blocker = Blocker(
            f"the mapping {m.start:x}-{m.end:x} {m.path} {advice.REFUSED[word]}, which cannot be kept",
            code=f"mapping-{word}",
            pid=pid,
            resource=f"{m.start:x}",
            hint=advice.HINTS.get(word, "stop what uses it before the dump"),
        )
        self.blockers.append(blocker)


_known_words: dict[str, tuple[str, bool, str]] = {}


def _words(words: str) -> tuple[str, bool, str]:
    """Of a VmFlags line: the kept words, whether the mapping may be written to, and a word that is refused."""
    if words not in _known_words:
        split = words.split()
        refused = max([word for word in split if word in advice.REFUSED], key=advice.WATCHED.__ne__, default="")
        _known_words[words] = (advice.chosen(words), "mw" in split, refused)
    return _known_words[words]


def is_gone(pid: int) -> bool:
    """Whether a process has ended, or is on its way out: its memory is gone before it is a zombie."""
    try:
        stat = procfs.stat(pid)
        return stat.state in "ZX" or bool(stat.flags & _EXITING)
    except TaskGone:
        return True


def _outside(root: Stat) -> set[int]:
    """The group and session that the root was born into: their numbers belong to the world outside of the tree."""
    return {n for n in (root.pgrp, root.session) if n != root.pid}


def prepare(pid: int) -> tuple[Asker, Facts]:
    """What a look at the tree of ``pid`` takes, made before that is stopped."""
    asker = Asker()
    return asker, Facts(pid, (*asker.fields, *borders.FIELDS))


def look(pid: int, policy: Policy = DEFAULT) -> tuple[Model, PageReader]:
    """Freeze, observe, read every kind, release: a dump without pages. Small contents are behind the reader.

    :raises Refused: something could not be kept.
    """
    machine.require()
    fd = os.memfd_create("look", os.MFD_CLOEXEC)
    number = elsewhere.number(pid)
    if number:
        model = elsewhere.look(pid, lambda: _look(number, policy, PageWriter(fd)))
    else:
        model = _look(pid, policy, PageWriter(fd))
    return model, PageReader(fd)


def _look(pid: int, policy: Policy, store: PageWriter) -> Model:
    asker, facts = prepare(pid)
    with freeze.freeze(pid, facts.waits) as frozen:
        capture = Capture(frozen, store, policy, asker, facts)
        try:
            return capture.model()
        finally:
            capture.close()


def inspect(pid: int) -> Model:
    """The model of a live tree; it runs on.

    :raises Refused: something in it could not be kept.
    """
    return look(pid)[0]
