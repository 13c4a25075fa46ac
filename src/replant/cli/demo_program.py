"""The program that ``replant demo`` uproots: threads that count, and a line of numbers down the pipe on its output.

Every line carries a word that was drawn at random at the start and stands nowhere but in memory: who still says it is
the same process.
"""

from __future__ import annotations

import os
import threading
import time

THREADS = 3


def count(counts: list[int], index: int) -> None:
    """Count for ever."""
    while True:
        counts[index] += 1
        if counts[index] % 1000 == 0:
            time.sleep(0.001)


def main() -> None:
    """Say a word, a number and the counts of the threads, for ever."""
    word = os.urandom(4).hex()
    counts = [0] * THREADS
    for index in range(THREADS):
        threading.Thread(target=count, args=(counts, index), daemon=True).start()
    number = 0
    while True:
        number += 1
        os.write(1, f"{word} {number} {' '.join(map(str, counts))}\n".encode())
        time.sleep(0.02)


if __name__ == "__main__":
    main()
