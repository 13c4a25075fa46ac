"""Attributes of processes and threads, one module each: what it was, and the calls that make it so again.

A module here follows `replant.resources.protocol.TaskKind`. Its calls run inside a *stub*: a task with the right number
that has nothing of its own yet. What a stub is like when the first of them runs, every module relies on:

* all signals are blocked, none is pending, all dispositions are default;
* it has no timers, no alternate stack, no robust list, no rseq area, no parent-death signal, no membarrier
  registration, and its tid address is 0: an address space and a thread fresh from exec or clone;
* everything else (credentials, nice, affinity, limits, umask, name, …) is the restorer's or its cloner's, at whatever
  moment it was cloned: modules for such things keep a State always.

The order of the modules follows from three tuples of words. Who ``USES`` a word comes before all who ``SPOILS`` it; who
``SETS`` it comes after them. `WORDS` says what each means, `HOLDS` which are true of a stub from the beginning; others
that are used are made true by what the program does itself (`replant.resources.steps.STEPS`).

``limits`` waits until all threads have queued their signals; the leader's ``credentials``, which take away what setting
limits needs, wait with it; ``dumpable`` waits for the credentials of all threads.
"""

from __future__ import annotations

WORDS = {
    "access": "no protection key keeps the thread from its memory",
    "alone": "the process has one thread",
    "bare": "nothing of the program is mapped yet",
    "clone": "a clone made now is a stub that inherits nothing",
    "dispositions": "signal actions are the saved ones",
    "dumpable": "the process's dumpable state is the saved one",
    "empty": "no saved page is loaded yet",
    "family": "every task has its parent, nobody is reparented any more",
    "mapping": "memory can be mapped with every protection",
    "memory": "mappings, contents, protections and advice are in place",
    "open": "the descriptors of the restore are open",
    "pdeathsig": "the thread's parent-death signal is the saved one, which other credentials and parents clear",
    "pending": "the queues of the thread, with the leader also those of the process, are the saved ones",
    "privilege": "the thread has the restorer's capabilities and user 0",
    "protected": "every mapping has the protection that the program gave it",
    "room": "no resource limit is in force that the restorer has not itself",
    "root": "the root directory is the restorer's",
    "threads": "all threads of the process exist",
    "writable": "the mappings stand, and those that pages are saved of can be written to",
}
"""What kinds may use, spoil and set."""

HOLDS = frozenset({"access", "alone", "bare", "clone", "empty", "mapping", "open", "privilege", "room", "root"})
"""Words that are true before the first step of a process."""

OF_A_THREAD = frozenset({"access", "privilege", "pending", "pdeathsig"})
"""Words that say something of one thread: what another does spoils nothing. The others are facts of the process, where
a step of the leader can be too early for another thread."""
