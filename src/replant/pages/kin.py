"""Which pages must stand in a process when it forks, so that processes share again what they have in common.

As fork(2) made them: the same mapping in a process and in those that come from it, in which some pages are still
common to all, some to a few, and some are one's own because it has written them. At a fork one page stands at each
address, and the child has that one too; whoever needs another empties the place and loads its own. Between two forks a
process may have written: then it loads what the earlier children have in common before what is there now.
"""

from __future__ import annotations

from replant.pages.rows import common, different, joined, size, within, without

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from replant.pages.rows import Row

    Rows = Sequence[Row]

WORTH = 256 << 10  # bytes in common below which each loads its own
_VERSIONS = 4  # of a page among those that come from a process: who has written it alone stands between others


class Area:
    """A mapping with the pages that its process needs, its ``own``, and those mappings that come from it.

    It comes from one ``above``, by ``fork`` of that one's process. Once it is `settle`\\ d, ``above`` is None if it is
    mapped anew; ``born`` pages are those that it keeps at first, ``asked`` are to be loaded before each fork, in the
    place of what stands there, ``forked`` then stand, and ``left`` after the last one.
    """

    __slots__ = ("above", "asked", "below", "born", "end", "fork", "forked", "left", "own", "start")

    def __init__(self, start: int, end: int, own: Rows, above: Area | None = None, fork: int = 0) -> None:
        self.start, self.end, self.own, self.above, self.fork = start, end, own, above, fork
        self.below: list[Area] = []
        self.asked: dict[int, Rows] = {}
        self.forked: dict[int, Rows] = {}
        self.born: Rows = ()
        self.left: Rows = ()
        if above:
            above.below.append(self)

    @property
    def stands(self) -> bool:
        """Whether it is there before the process's own memory is made."""
        return self.above is not None or any(self.asked.values())

    def settle(self, forks: Sequence[int]) -> None:
        """Find all that, for the ``forks`` of its process in order; the area above is settled already."""
        born = self._needed(within(self.above.forked[self.fork], self.start, self.end)) if self.above else []
        if size(born) < WORTH:
            self.above, born = None, []
        wanted = self._wanted(forks)
        if sum(map(size, wanted.values())) < WORTH:
            wanted.clear()
        self.born = self.left = born
        for fork in forks:
            new = wanted.get(fork, [])
            self.asked[fork] = new = without(new, common(new, self.left))
            self.forked[fork] = self.left = joined(without(self.left, new), new)

    def _needed(self, pages: Rows) -> Rows:
        """What of these it needs itself, or somebody who comes from it."""
        needed: Rows = []
        for area in (self, *_all(self.below)):
            found = common(pages, area.own)
            pages, needed = without(pages, found), joined(needed, found)
        return needed

    def _wanted(self, forks: Sequence[int]) -> dict[int, Rows]:
        """By fork the pages that somebody on that side has in common with it, or with who comes from a later fork."""
        wanted: dict[int, Rows] = {}
        later: list[Rows] = [()] * _VERSIONS
        for fork in reversed(forks):
            heirs = [*_all([area for area in self.below if area.fork == fork])]
            found: Rows = []
            for others in (self.own, *later):
                for area in heirs:
                    found = joined(found, common(without(area.own, found), others))
            wanted[fork] = found
            for area in reversed(heirs):
                _remember(area.own, later)
        return wanted


def _remember(pages: Rows, versions: list[Rows]) -> None:
    """Put pages before others with the same addresses, of which the oldest are forgotten."""
    for number, known in enumerate(versions):
        versions[number], pages = joined(pages, without(known, pages)), different(known, pages)


def _all(areas: Sequence[Area]) -> Iterator[Area]:
    """These areas and all that come from them, one generation after the other."""
    while areas:
        yield from areas
        areas = [area for each in areas for area in each.below]
