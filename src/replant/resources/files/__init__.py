"""What can stand behind a file descriptor, one module a kind; the registry finds it by the kernel's name for it.

Kinds that have to do with others say so in ``USES`` and ``GIVES``: the words that a hook needs, and those that it makes
true together with every other kind that gives them. `USUAL` is what holds for a kind that says nothing.
"""

from __future__ import annotations

WORDS = {
    "names": "all directories are there in which something open may have its name",
    "descriptions": "what others can only be opened through is open",
    "places": "what others watch is in its place",
}
"""What kinds may use and give, in `make` and `attach`."""

USUAL_USES: dict[str, tuple[str, ...]] = {"make": ("names",), "attach": ()}
USUAL_GIVES: dict[str, tuple[str, ...]] = {"make": ("descriptions",), "attach": ("places",)}
