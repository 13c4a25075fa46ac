"""The stages of a restore, and what each needs: their order follows from that, as that of a process from its kinds.

A word that nothing gives is true from the beginning (`HOLDS`). What stays free keeps the order of declaration.
"""

from __future__ import annotations

from replant.resources import order
from replant.resources.order import Given

WORDS = {
    "still": "what kinds hold still, as the packets of connections, is held",
    "opened": "the restorer has the descriptions that it opens itself",
    "seed": "there is a process that has nothing but these",
    "grown": "every process is there, in its session and its group, dead ones dead",
    "bare": "no process has anything of its own, neither memory nor threads",
    "apart": "a descriptor table, or directories, are shared only by those who shall share them",
    "made inside": "processes have opened what remembers who opened it",
    "complete": "the restorer has every description of the tree",
    "filled": "queues hold what was in them, in flight descriptors among it",
    "tables": "every descriptor table stands, what was opened on the way does not come to lie in the way",
    "joined": "threads, and processes that share a table with an earlier one, have done their part",
    "privilege": "the first threads of processes have the capabilities of the restorer",
    "whole": "every task has its memory and its attributes",
    "led": "what a process knows of an old vDSO leads to the present one",
    "sealed": "what is done once nobody fills it any more is done",
    "served": "somebody brings the pages that come later",
    "landed": "every task has its registers, and nothing of the restore is mapped",
    "watched": "who brings pages is watched by somebody who would do it in its place",
    "kept": "the tree stays, whatever happens to the restorer",
    "free": "nothing is held still any more, packets pass",
    "awake": "connections go on",
}

HOLDS = frozenset({"bare", "privilege"})

STAGES = {
    "hold": Given(gives=("still",)),
    "open": Given(uses=("still",), gives=("opened",)),
    "sow": Given(uses=("opened",), gives=("seed",)),
    "grow": Given(uses=("seed",), gives=("grown",)),
    "unshare": Given(uses=("grown",), gives=("apart",)),
    "enter": Given(uses=("grown", "bare")),
    "open inside": Given(uses=("apart",), gives=("made inside",)),
    "fetch": Given(uses=("made inside",), gives=("complete",)),
    "fill": Given(uses=("complete",), gives=("filled",)),
    "processes": Given(uses=("filled",), gives=("tables",), spoils=("bare",)),
    "sharers": Given(uses=("tables",), gives=("joined",)),
    "shared tables": Given(uses=("joined", "privilege")),
    "late": Given(uses=("joined",), gives=("whole",), spoils=("privilege",)),
    "outside": Given(uses=("whole",), gives=("sealed",)),
    "lead": Given(uses=("joined",), gives=("led",)),
    "serve": Given(uses=("whole", "led"), gives=("served",)),
    "land": Given(uses=("served",), gives=("landed",)),
    "end the seed": Given(spoils=("seed",)),
    "watch": Given(uses=("landed",), gives=("watched",)),
    "commit": Given(uses=("sealed", "watched"), gives=("kept",)),
    "let go": Given(uses=("kept",), gives=("free",), spoils=("still",)),
    "wake": Given(uses=("free",), gives=("awake",)),
    "release": Given(uses=("awake",)),
}


def sequence() -> tuple[str, ...]:
    """The names of the stages in order, checked."""
    return order.arranged(STAGES, HOLDS, frozenset()).leader
