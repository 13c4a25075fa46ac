"""numpy and pandas: arrays that were computed before and are computed with after, by the threads of their libraries."""

from __future__ import annotations

import selfcheck  # isort: skip  before numpy, whose threads are born at import

import threading

import numpy as np
import pandas as pd

random = np.random.default_rng(7)
matrix = random.standard_normal((400, 400))
product = matrix @ matrix
table = pd.DataFrame({"key": random.integers(0, 50, 100_000), "value": random.standard_normal(100_000)})
sums = table.groupby("key")["value"].sum()
mapped = np.lib.format.open_memmap("array.npy", mode="w+", dtype="float64", shape=(1000, 100))
mapped[:] = np.arange(100_000).reshape(1000, 100)
turns = 0


def compute() -> None:
    global turns
    while True:
        assert np.array_equal(matrix @ matrix, product)
        turns += 1


def check() -> None:
    before = turns
    assert np.array_equal(matrix @ matrix, product)
    assert table.groupby("key")["value"].sum().equals(sums)
    mapped[0, 0] += 1
    mapped.flush()
    assert np.load("array.npy")[0, 0] == mapped[0, 0]
    assert np.array_equal(mapped[1:], np.arange(100, 100_000).reshape(999, 100))
    while turns == before:
        assert thread.is_alive(), "the thread has died"


thread = threading.Thread(target=compute, daemon=True)
thread.start()
selfcheck.serve(check)
