"""The saved tree: tasks, threads, memory, descriptor tables and file descriptions, joined by numbers.

A `Model` is what an image holds and what an observation gives; two models are compared by `diff`. Every object that can
be shared (a file description, an address space) stands once and is referred to by its number, which is its place in the
order of discovery: no address and no number of the moment goes into a model.
"""

from __future__ import annotations

from replant.model.frozen import Frozen


class Task(Frozen):
    """A process: its place in the tree, and what it holds.

    ``state`` is ``"R"`` (alive), ``"T"`` (stopped by ``stop_signal``, and ``stop_told`` if its parent has taken that
    news by wait(2)) or ``"Z"`` (dead, with its wait status ``exit_code``, as in ``/proc/PID/stat``). ``cwd``, ``root``
    and ``exe`` are numbers of file descriptions, -1 where there is none (a zombie); ``root`` also where it is that of
    the host. ``threads`` lists thread ids, the leader first. ``terminal`` is the description of its controlling
    terminal, -1 if it has none or the one that the root was born with; ``foreground`` that terminal's group, told by
    leaders of sessions. ``files_of`` and ``fs_of`` are the first process whose descriptor table, or whose current
    directory, root and umask, it shares; 0: its own.
    """

    pid: int
    ppid: int
    pgid: int
    sid: int
    state: str
    exit_code: int
    exit_signal: int
    subreaper: bool
    stop_signal: int
    stop_told: bool
    comm: str
    threads: tuple[int, ...]
    cwd: int
    root: int
    exe: int
    terminal: int = -1
    foreground: int = 0
    files_of: int = 0
    fs_of: int = 0


class Vma(Frozen):
    """One mapping. ``prot`` has the PROT_ bits, ``flags`` the two-letter VmFlags of smaps(5) that can be chosen.

    ``kind`` names the module of `replant.resources.maps`; ``file`` is the number of the file description that it
    maps, or -1.
    """

    start: int
    end: int
    prot: int
    shared: bool
    flags: str
    offset: int
    kind: str
    file: int = -1


class Mm(Frozen):
    """The address space of process ``pid``: its mappings in order of address, and where their saved pages are.

    ``runs`` is packed ``<QQQ``: address, length in bytes, place (`replant.model.places`; `invariants.GUARD`: guard
    pages without contents); sorted by address, without overlap.
    """

    pid: int
    vmas: tuple[Vma, ...]
    runs: bytes = b""


class Owner(Frozen):
    """Who gets the IO signals of a file description: fcntl(2) F_SETOWN_EX, F_SETSIG.

    ``pid`` is 0 when that process or group is gone; ``uid`` and ``euid`` are those of whoever set it, in whose name the
    signals are sent (F_GETOWNER_UIDS).
    """

    type: int
    pid: int
    signal: int
    uid: int
    euid: int


class File(Frozen):
    """An open file description: the part that all kinds share.

    ``flags`` are the status flags and the access mode of F_GETFL, without O_CLOEXEC; ``pos`` the offset; ``state`` is
    the State of the kind module ``replant.resources.files.KIND``.
    """

    number: int
    kind: str
    flags: int
    pos: int
    owner: Owner | None
    state: Frozen


class Descriptor(Frozen):
    """An entry of a descriptor table: descriptor ``fd`` refers to file description ``file``."""

    fd: int
    file: int
    cloexec: bool


class FdTable(Frozen):
    """The descriptor table of process ``pid``."""

    pid: int
    entries: tuple[Descriptor, ...]


class Attribute(Frozen):
    """The State of kind ``replant.resources.task.KIND`` of one task (by pid) or thread (by tid)."""

    kind: str
    tid: int
    state: Frozen


class Extent(Frozen):
    """A stretch of content in the page store: ``length`` bytes at ``at`` belong at ``offset`` of the object."""

    offset: int
    length: int
    at: int


class Model(Frozen):
    """A whole tree. ``clock`` is CLOCK_MONOTONIC, in nanoseconds, at the moment of the freeze."""

    root: int
    clock: int
    tasks: tuple[Task, ...]
    mms: tuple[Mm, ...]
    tables: tuple[FdTable, ...]
    files: tuple[File, ...]
    attributes: tuple[Attribute, ...]
