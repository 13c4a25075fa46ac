from __future__ import annotations

import sys
from importlib import import_module

import selfcheck

checks = []
for word in sys.argv[1:]:
    module, _, name = word.partition(".")
    checks.append((word, getattr(import_module(f"held.{module}"), name)()))


def check() -> None:
    for word, each in checks:
        try:
            each()
        except BaseException as wrong:
            raise AssertionError(f"{word}: {type(wrong).__name__}: {wrong}") from wrong


selfcheck.serve(check)
