"""300 random trees of 12 to 60 tasks on the real kernel: dumped, killed, restored, compared.

python bench/derive/replanted.py [--trees 300]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from live.namespace import run_isolated
from trees.replanting import build, replant_one


def run(count: int) -> None:
    equal = 0
    with tempfile.TemporaryDirectory(prefix="replant-trees-") as name:
        folder = Path(name)
        program = build(folder)
        for seed in range(1, count + 1):
            try:
                found = replant_one(program, folder / f"tree{seed}", seed, 12 + seed % 49)
            except Exception as e:
                found = [f"{type(e).__name__}: {e}", *(str(b) for b in getattr(e, "blockers", ()))]
            equal += not found
            for line in found:
                print(f"tree {seed}: {line}", flush=True)
    print(f"{equal} of {count} trees are equal", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=int, default=300)
    run_isolated(lambda: run(parser.parse_args().trees))


if __name__ == "__main__":
    main()
