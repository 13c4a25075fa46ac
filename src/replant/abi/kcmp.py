"""kcmp(2): whether two tasks share an object (``linux/kcmp.h``)."""

from __future__ import annotations

FILE = 0
VM = 1
FILES = 2
FS = 3
SIGHAND = 4
IO = 5
SYSVSEM = 6

SAME, LESS, GREATER, DIFFERENT = 0, 1, 2, 3
