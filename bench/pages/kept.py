"""Memory that never rests, in rounds: in each pause every page that is not copied again is compared with its copy.

Usage: python bench/pages/kept.py [--rounds 1000]

What a dump keeps of earlier rounds it keeps by the kernel's word alone. Here the memory itself is asked, of
tests/programs/churn.c: far more often than by restores, which show only what the last pause has kept (churning.py).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../tests"))

from live.compile import compiled
from live.namespace import run_isolated
from live.program import Program
from replant.flows.precopy import Precopy
from replant.model.invariants import PAGE
from replant.pages.store import PageWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from replant.model.tree import Mm
    from replant.pages.scan import Scan

CHURN = Path(__file__).parents[2] / "tests" / "programs" / "churn.c"
_IN_ONE_STORE = 100


class Checked(Precopy):
    """``kept`` pages, and the addresses of those that are ``wrong``."""

    def __init__(self, root: int, store: PageWriter) -> None:
        super().__init__(root, "", False, "", None)
        self._store = store
        self.kept = 0
        self.wrong: list[str] = []

    def scans(self, mms: Iterable[Mm]) -> dict[int, Scan]:
        """The scans, compared with the memory that they are of."""
        found = super().scans(mms)
        for pid, scan in found.items():
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
                for start, length, at in zip(scan.kept[0::3], scan.kept[1::3], scan.kept[2::3], strict=True):
                    self._compare(memory.fileno(), start, length, at)
        return found

    def _compare(self, memory: int, start: int, length: int, at: int) -> None:
        for done in range(0, length, PAGE):
            self.kept += 1
            if os.pread(memory, PAGE, start + done) != os.pread(self._store.fd, PAGE, at + done):
                self.wrong.append(f"{start + done:x}")


def run(rounds: int, folder: Path) -> None:
    (folder / "tree").mkdir()
    kept, wrong = 0, []
    with Program.start([str(compiled(CHURN, folder))], folder / "tree") as program:
        program.until_ready()
        for done in range(0, rounds, _IN_ONE_STORE):
            with open(folder / "pages", "w+b", buffering=0) as file:
                store = PageWriter(file.fileno())
                with Checked(program.root, store) as known:
                    known.prepare(store, min(_IN_ONE_STORE, rounds - done), 0)
            kept, wrong = kept + known.kept, [*wrong, *known.wrong]
        program.ask()
    print(f"{rounds} rounds, {kept} pages kept, {len(wrong)} of them wrong {' '.join(wrong[:10])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        run_isolated(lambda: run(rounds, Path(folder)))


if __name__ == "__main__":
    main()
