"""Attributes of processes and threads, one module each: what it was, and the calls that make it so again.

A module here follows `replant.resources.protocol.TaskKind`. Its calls run inside a *stub*: a task with the right number
that has nothing of its own yet. What a stub is like when the first of them runs, every module relies on:

* all signals are blocked, none is pending, all dispositions are default;
* it has no timers, no alternate stack, no robust list, no rseq area, no parent-death signal, no membarrier
  registration, and its tid address is 0: an address space and a thread fresh from exec or clone;
* everything else (credentials, nice, affinity, limits, umask, name, …) is the restorer's or its cloner's, at whatever
  moment it was cloned: modules for such things keep a State always.

The order of the modules follows from three tuples of words. Who ``USES`` a word comes before all who ``SPOILS`` it; who
``SETS`` it comes after them. A word of `GIVEN` is made true by whoever runs the stubs: its users come after that.

================ ================================================================= ================================
word             means                                                             spoiled by
================ ================================================================= ================================
``privilege``    the thread has the restorer's capabilities and user 0             ``credentials``
``room``         no resource limit is in force that the restorer has not itself    ``limits``
``mapping``      memory can be mapped with every protection                        ``mdwe``, ``personality``
``bare``         nothing of the program is mapped yet                              mapping it (given)
``clone``        a clone made now is a stub as described above                     what a clone inherits in part
``root``         the root directory is the restorer's                              changing it (given)
``alone``        the process has one thread                                        cloning the threads (given)
``memory``       mappings and contents are in place (given)
``threads``      all threads of the process exist (given)
``family``       every task has its parent, nobody is reparented any more (given)
``dispositions`` signal actions are the saved ones                                 ``itimers``
``pending``      the queues of the thread, with the leader also those of the       ``sigactions``, ``itimers``,
                 process, are the saved ones                                       ``posix_timers``
``dumpable``     the process's dumpable state is the saved one                     ``credentials`` of any thread
``pdeathsig``    the thread's parent-death signal is the saved one                 ``credentials``, reparenting
================ ================================================================= ================================

``privilege``, ``pending`` and ``pdeathsig`` are facts of one thread (`OF_A_THREAD`), the others of the process: there a
step of the leader can be too early for another thread. ``limits`` waits until all threads have queued their signals;
the leader's ``credentials``, which take away what setting limits needs, wait with it; ``dumpable`` waits for the
credentials of all threads.
"""

from __future__ import annotations

#: words that are made true by the executor, not by a module
GIVEN = frozenset({"memory", "threads", "family"})

#: words that say something of one thread: what another thread does, or the leader does for it, spoils nothing
OF_A_THREAD = frozenset({"privilege", "pending", "pdeathsig"})

WORDS = GIVEN | {
    *("privilege", "room", "mapping", "bare", "clone", "alone", "root"),
    *("dispositions", "pending", "dumpable", "pdeathsig"),
}
