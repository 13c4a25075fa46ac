"""Every call of every function in a dump fails once: who is harmed, and what is left.

    python bench/faults.py [STEP]

``STEP`` > 1: only every STEP-th call of a dump. A fault is one of ENOSPC, EIO, MemoryError and KeyboardInterrupt, by
turns. Prints the place of each fault after which something is not as it was.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from faults.injection import ERRORS
from faults.support import family
from faults.test_dump_faults import outcome_of_fault
from live.namespace import run_isolated


def dumps(step: int) -> None:
    """Let dumps of one and the same tree fail, one call later each time, until one succeeds."""
    told: Counter[str] = Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = family(folder)
        number, outcome = 0, "failed"
        while outcome:
            try:
                outcome = outcome_of_fault(program, folder / "image", number)
            except Exception as e:
                outcome = "harm"
                print(f"call {number}, {ERRORS[number % len(ERRORS)]()!r}: {e}", flush=True)
                for left in folder.glob("image*"):
                    shutil.rmtree(left)
                program.kill()
                program = family(folder)
            told[outcome] += 1
            number += step
        program.kill()
    took = time.monotonic() - began
    words = ", ".join(f"{count} {word or 'beyond the last call'}" for word, count in told.items())
    print(f"faults in a dump: {words} ({took:.0f} s)")


def main() -> None:
    step = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    run_isolated(lambda: dumps(step))


if __name__ == "__main__":
    main()
