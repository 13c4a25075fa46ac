"""What a kind module offers, and what it is given.

A kind is a module; the names below are its functions and constants. Three families:

* ``replant.resources.files.KIND``: what can stand behind a file descriptor (or a mapping, a current directory, …);
* ``replant.resources.maps.KIND``: a sort of mapping;
* ``replant.resources.task.KIND``: an attribute of a process or of a thread.

At dump a kind **reads**: it is given facts and answers with its frozen ``State``, or raises `Blocker` with the reason
why it cannot be kept. At restore it **makes**: it appends system calls to a `Track`. It never executes anything on a
task itself, so that a program can be printed, simulated and refused before it runs.
"""

from __future__ import annotations

from replant.resources.file_facts import FileFacts as FileFacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, Protocol

    from replant.abi.call import Answer, Call, Slot, Track
    from replant.model.frozen import Frozen
    from replant.model.tree import Extent, File, Vma
    from replant.observe.bpf.terminals import Terminals
    from replant.resources.hold import Hold as Hold
    from replant.resources.shared.leftover import Leftover
    from replant.resources.task_facts import TaskFacts as TaskFacts
else:
    Protocol = object


class DumpSide(Protocol):
    """What a kind may use while it reads."""

    @property
    def image(self) -> str:
        """The image that is being made, ``""`` if the tree is only looked at."""
        ...

    def held(self, kind: str) -> Any:
        """What `FileKind.hold` of that kind has given, None if nothing."""
        ...

    def keep(self, data: bytes) -> Extent:
        """Put bytes into the page store."""
        ...

    def keep_file(self, fd: int, size: int) -> tuple[Extent, ...]:
        """Put the contents of a file into the page store, data only, holes kept as holes."""
        ...

    def pids(self) -> set[int]:
        """The pids (tgids) of the tree."""
        ...

    def mappings(self, dev: int, ino: int) -> int:
        """How many mappings of the tree are of that inode."""
        ...

    def file_of(self, dev: int, ino: int) -> int | None:
        """The number of a description of that inode, the first in the tree that is really open (not O_PATH)."""
        ...

    def can_rouse(self, number: int) -> bool:
        """Whether description ``number``, which is not ready, can be made so for a moment (`FileKind.rouse`)."""
        ...

    def linkable(self, f: FileFacts) -> bool | None:
        """Whether a file that never had a name may be given one (linkat(2)); None: the kernel does not tell."""
        ...

    def outsider(self, dev: int, ino: int) -> int:
        """A process outside of the tree that has that nameless inode open or mapped; 0: there is none."""
        ...

    def states(self, kind: str) -> Iterable[Any]:
        """The States of an attribute of tasks, for kinds of `standing` objects: tasks are read before."""
        ...

    def inode_in_tree(self, ino: int) -> bool:
        """Whether a pipe or socket with that inode number is open in the tree (``pipe:[ino]``, ``socket:[ino]``)."""
        ...

    def received(self, fd: int, f: FileFacts) -> int:
        """The number of a description that was in flight through ``f``; ``fd``: our own copy, closed by the dump."""
        ...

    def terminals(self) -> Terminals | None:
        """The terminals of the tree as the kernel sees them; None without a master in it, or without BPF."""
        ...

    def policy(self, option: str) -> str:
        """The user's choice for an option, ``""`` for the default."""
        ...


class RestoreSide(Protocol):
    """What a kind may use while it makes."""

    notes: dict[object, Any]  # what a kind has to remember from one of its hooks to the next, by a key of its own

    @property
    def lowest(self) -> int:
        """The number above every descriptor of the tree: what is open from there on ends with the restore."""
        ...

    @property
    def pages(self) -> Slot | int:
        """The descriptor of the page store that the restorer and all stubs have."""
        ...

    def fd(self, number: int) -> Slot | int:
        """The descriptor of file description ``number`` that the restorer and all stubs have until the end."""
        ...

    def file(self, number: int) -> File:
        """The row of file description ``number``."""
        ...

    def rouse(self, number: int, on: Track) -> Callable[[], None]:
        """Calls in a process that make description ``number`` ready, by `FileKind.rouse`."""
        ...

    def room(self, length: int) -> int:
        """An address where no process of the tree has or will have anything, for something made aside."""
        ...

    def holes(self, pid: int) -> list[tuple[int, int]]:
        """What is free between the mappings of a process, from where to where, when all of them stand."""
        ...

    def exe_fd(self, tid: int) -> int:
        """The number of that descriptor for the executable of process ``tid``."""
        ...

    def stand_in(self, on: Track, pid: int, uid: int = -1, gid: int = -1, real_uid: int = -1, status: int = 0) -> Track:
        """A track for calls that a process of that pid and those ids makes, at this place of the restorer's ``on``.

        ``pid`` 0: any; ids of -1 are the restorer's. It ends with the wait status ``status``.
        It has the restorer's descriptors, root and current directory, until it unshares them.
        """
        ...

    def place(self, data: bytes) -> int:
        """Put bytes where stubs can read them, for pointers inside of structures; their address, 64-byte aligned."""
        ...

    def load(self, extent: Extent) -> bytes:
        """Bytes of the page store, for small things."""
        ...

    def policy(self, option: str) -> str:
        """The user's choice for an option, ``""`` for the default."""
        ...

    def elapsed(self) -> int:
        """Nanoseconds between freeze and restore on CLOCK_MONOTONIC (0 if the clock went back: another boot)."""
        ...

    def holder(self, number: int) -> tuple[int, int] | None:
        """(pid, fd) of a process that holds description ``number``, None if none does."""
        ...


class FileKind(Protocol):
    """A module of `replant.resources.files`."""

    VERSION: int
    State: type[Frozen]

    # Optional, as the default for both is True: SEEKABLE, whether a description has an offset; DESCRIPTOR, whether it
    # is one at all. What is none (an object of System V IPC) has a number of another sort, which ``make`` gives, and
    # neither ``claims`` nor ``read`` unless it can be mapped: ``standing`` finds it.
    # COUNTED: True if programs can see how many processes map it; copies of processes give up such mappings at once.
    # USES, GIVES: by hook (``make``, ``attach``), where they are not the usual words (`replant.resources.files`).

    def claims(self, f: FileFacts) -> bool:
        """Whether it is this kind; the registry asks only the module that bears the kernel's name for the thing."""
        ...

    def hold(self, files: Sequence[FileFacts], dump: DumpSide) -> Hold | None:
        """Optional. Before the first of these files, all of its kind, is read: what must be held still until then.

        :raises Blocker: it cannot be; then none of them is read.
        """
        ...

    def danger(self, f: FileFacts) -> None:
        """Optional. Before any file is opened to look. :raises Blocker: the dump could wait for it for ever."""
        ...

    def read(self, f: FileFacts, dump: DumpSide) -> Frozen:
        """The State. :raises Blocker: when it cannot be kept."""
        ...

    def standing(self, dump: DumpSide, known: Sequence[File]) -> Iterable[Frozen]:
        """Optional. Objects of the tree for which neither descriptor nor mapping stands; ``known``: those found by one.

        Asked of ``sysv_NAME`` if /proc/sysvipc/NAME lists any. :raises Blocker: one cannot be kept.
        """
        ...

    def group(self, file: File) -> object:
        """Optional. Files with equal keys are made in one go (two ends of a pipe); default: each alone."""
        ...

    def complete(self, files: Sequence[File]) -> None:
        """Optional. At dump, once all files are read: has the group all its parts? :raises Blocker: :raises Refused:"""
        ...

    def leftovers(self, files_of: Callable[[str], Sequence[File] | None]) -> list[Leftover]:
        """Optional. What of trees that are away is in the kernel; ``files_of`` an image: None if there is none."""
        ...

    def clear(self, names: Sequence[str]) -> None:
        """With `leftovers`: take away those of these names."""
        ...

    def brings(self, file: File, choice: Callable[[str], str]) -> Sequence[str]:
        """Optional. Directories that `make` will bring about: what others have in them is not yet there to `check`."""
        ...

    def adapt(self, state: Any, choice: Callable[[str], str]) -> Frozen:
        """Optional. At restore, before anything else: the State as the choices of the user change it."""
        ...

    def receive(self, files: Sequence[File], restore: RestoreSide) -> Hold | None:
        """Optional. At restore, before the first of these files, all of its kind, is made: as `hold`."""
        ...

    def make(self, files: Sequence[File], on: Track, restore: RestoreSide) -> Sequence[Slot | int]:
        """Calls **in the restorer** that open the description of each file of a group; their descriptors, in order.

        Status flags that F_SETFL can set, the offset and the owner are put on afterwards by the caller.
        """
        ...

    def maker(self, files: Sequence[File]) -> int:
        """Optional. The pid of the process that must open the group, because the kernel remembers it; 0: any.

        ``make`` then appends to a Track of that process. A process that is not in the tree, or dead, counts as 0.
        """
        ...

    def carries(self, file: File) -> Iterable[int]:
        """Optional. The numbers of the descriptions that are in flight through it (SCM_RIGHTS, unix(7))."""
        ...

    def fill(self, files: Sequence[File], on: Track, restore: RestoreSide) -> None:
        """Optional. Calls **in the restorer** once it has all descriptors, before processes do: what is queued."""
        ...

    def attach(self, file: File, fd: int, on: Track, restore: RestoreSide) -> None:
        """Optional. Calls **in a process that holds it** as ``fd``, once all descriptors are in place (epoll_ctl)."""
        ...

    def rouse(self, file: File, fd: Slot | int, on: Track, restore: RestoreSide) -> Callable[[], None]:
        """Optional. Calls in a process that make ``fd`` ready (poll(2)); the answer appends those that take it back."""
        ...

    def can_rouse(self, f: FileFacts) -> bool:
        """Optional, with ``rouse``: whether that can be done for this one."""
        ...

    def settle(self, file: File, fd: int, on: Track, restore: RestoreSide) -> None:
        """Optional. As ``attach``, once every other descriptor of the restore is closed."""
        ...

    def settle_in(self, file: File, pid: int, fd: int, on: Track, restore: RestoreSide) -> None:
        """Optional. As ``settle``, **in every process that holds it**, ``fd`` being its first descriptor (locks)."""
        ...

    def moved(self, state: Any, to: Callable[[str], str]) -> Frozen:
        """Optional. The State with all of its paths as the user has mapped them; default: a field ``path``."""
        ...

    def warns(self, files: Sequence[File]) -> str:
        """Optional. Before a restore: what it will do besides making the tree, in a line for the user; "": nothing."""
        ...

    def tells(self, files: Sequence[File]) -> str:
        """Optional. After a dump: what was chosen for all files of the kind, in a line for the user; "": nothing."""
        ...

    def finish(self, file: File, on: Track, restore: RestoreSide) -> None:
        """Optional. Calls **in the restorer** when all memory and all descriptors stand (seals)."""
        ...

    def wake(self, file: File, on: Track, restore: RestoreSide) -> None:
        """Optional. Calls **in the restorer** past the point of no return, the last before the tree runs."""
        ...

    def check(self, file: File) -> None:
        """Optional. At restore, before anything is made: is what it needs there and unchanged? :raises Blocker:"""
        ...

    def same(self, before: Any, after: Any, elapsed: int) -> Iterable[str]:
        """Optional. Differences in words between two States; default: every field that is not equal."""
        ...


class TaskKind(Protocol):
    """A module of `replant.resources.task`.

    ``USES`` and ``SPOILS`` are words for what its calls need and what they destroy (``"privilege"``: full capabilities
    of the restorer; ``"dumpable"``, …): users come before spoilers, and who ``SETS`` a thing comes after all who spoil
    it.
    """

    VERSION: int
    SCOPE: str  # "process" or "thread"
    USES: tuple[str, ...]
    SPOILS: tuple[str, ...]
    SETS: tuple[str, ...]
    State: type[Frozen]
    ASKS: tuple[Call, ...]  # asked inside, the same of every thread

    def ask(self, t: TaskFacts) -> Sequence[Call]:
        """Optional. Further calls to run inside, that depend on the facts."""
        ...

    def read(self, t: TaskFacts, answers: Sequence[Answer]) -> Frozen | None:
        """The State from the facts and the answers (those of ASKS, then of ask); None: nothing worth keeping."""
        ...

    def check(self, state: Any, tid: int) -> None:
        """Optional. At restore, before anything is made: can this host give it? :raises Blocker:"""
        ...

    def make(self, state: Any, tid: int, on: Track, restore: RestoreSide) -> None:
        """Calls in the thread (SCOPE process: in the leader)."""
        ...

    LIKE: tuple[str, ...]
    """Optional, with SCOPE thread. Fields of `replant.observe.facts.Task`: threads of a process, other than its leader,
    that are equal in all of them have the same State, so that of many alike one is asked and read. Where the kernel
    does not tell a field, every thread is."""

    TOLD: str
    """Optional, with SCOPE thread. The field of `replant.observe.facts.Task` that is all there is to know."""

    def told(self, value: Any) -> Frozen | None:
        """With TOLD, instead of `read`: the State of a thread that is not asked."""
        ...

    DEAD: bool
    """Optional. True: a dead process has it too, by /proc; `read` gets no answers, `make` comes before its end."""

    SHAPES_PAGES: bool
    """Optional. True: it decides what pages of the process are like; `make` comes before those it puts for children."""

    TRACED: int
    """Optional. PTRACE_O_… with which stubs must be traced where there is such a State."""

    def births(
        self, threads: Sequence[int], states: Mapping[int, Any], restore: RestoreSide
    ) -> Mapping[int, Sequence[int | Call]]:
        """Optional, of one kind only: for what a thread can only get by its birth. ``threads``: leader first.

        By thread, in order: the tids that it clones, and calls in between.
        """
        ...

    def queues(self, state: Any) -> Iterable[int]:
        """Optional. The signals that `make` leaves pending."""
        ...

    def second_stops(self, state: Any, tid: int) -> Iterable[int]:
        """Optional. Where a SIGSTOP is to wait once its process is stopped: in ``tid``'s queue; 0: the process's."""
        ...

    def enter(self, state: Any, tid: int, on: Track, restore: RestoreSide) -> None:
        """Optional. Calls **in the restorer** about a process that has nothing yet: no memory, no other thread."""
        ...

    def make_outside(self, state: Any, tid: int, on: Track, restore: RestoreSide) -> None:
        """Optional. Calls **in the restorer** once the task exists (files of /proc/TID)."""
        ...

    def same(self, before: Any, after: Any, elapsed: int) -> Iterable[str]:
        """Optional. See `FileKind.same`."""
        ...


class MapKind(Protocol):
    """A module of `replant.resources.maps`. Its rows are `Vma`; it has no State of its own."""

    VERSION: int

    def make(self, vma: Vma, fd: Slot | int, prot: int, on: Track, restore: RestoreSide) -> None:
        """Calls in the process that put the mapping in place; ``prot`` is writable while pages are filled."""
        ...

    def make_all(self, rows: Sequence[tuple[Vma, Slot | int, int]], on: Track, restore: RestoreSide) -> None:
        """Optional, instead of ``make``: all mappings of the kind that a process has, once its other ones stand."""
        ...
