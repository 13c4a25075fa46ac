"""Assembles blob.S; run as a script it prints the constants that belong into blob.py."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "replant" / "tracee" / "blob.S"
WAYS = ("enter", "drop", "leave", "table")
LABELS = (
    *("run", "trapped", "paused", "once", "owner"),
    *(f"{label}_{side}" for side in "ab" for label in WAYS),
    "end",
)


def assemble() -> tuple[bytes, dict[str, int]]:
    """The bytes of blob.S and the offset of every label."""
    with tempfile.TemporaryDirectory() as folder:
        obj, binary = f"{folder}/blob.o", f"{folder}/blob.bin"
        subprocess.run(["gcc", "-c", "-o", obj, SOURCE], check=True)
        subprocess.run(["objcopy", "-O", "binary", "-j", ".text", obj, binary], check=True)
        names = subprocess.run(["nm", obj], check=True, capture_output=True, text=True).stdout
        labels = {name: int(value, 16) for value, kind, name in map(str.split, names.splitlines()) if kind == "t"}
        return Path(binary).read_bytes(), labels


if __name__ == "__main__":
    code, offsets = assemble()
    for label in LABELS:
        print(f"{label.upper()} = {offsets[label]:#05x}")
    digits = code[: offsets["table_a"]].hex()
    for start in range(0, len(digits), 100):
        print(f'    "{digits[start : start + 100]}"')
