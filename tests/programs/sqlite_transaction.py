"""sqlite3 in the middle of a transaction: each check adds a row to it; others are locked out until it commits."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import selfcheck

base = sqlite3.connect("base.db", isolation_level=None, check_same_thread=False)
base.execute("PRAGMA cache_size = 10")  # so that the transaction spills into the file, under the exclusive lock
base.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, text TEXT)")
rows = 0


def begin() -> None:
    global rows
    base.execute("BEGIN EXCLUSIVE")
    base.executemany("INSERT INTO rows (text) VALUES (?)", ((f"row {n} " * 20,) for n in range(1000)))
    rows += 1000


def outside() -> str:
    """What another process sees of the database."""
    query = "sqlite3.connect('base.db', timeout=0).execute('select count(*) from rows').fetchone()[0]"
    program = f"import sqlite3; print({query})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]


def check() -> None:
    locked = outside()
    assert "database is locked" in locked, f"the lock is gone: {locked}"
    assert base.in_transaction
    assert base.execute("SELECT count(*) FROM rows").fetchone() == (rows,)
    base.execute("COMMIT")
    assert outside() == str(rows)
    assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    begin()


begin()
selfcheck.serve(check)
