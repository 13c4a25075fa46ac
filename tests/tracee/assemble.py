"""Assembles blob.S; run as a script it puts what comes out into blob.py."""

from __future__ import annotations

import re
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


def assemble(source: Path = SOURCE) -> tuple[bytes, dict[str, int]]:
    """The bytes of blob.S, or of another source, and the offset of every label."""
    with tempfile.TemporaryDirectory() as folder:
        obj, binary = f"{folder}/blob.o", f"{folder}/blob.bin"
        subprocess.run(["gcc", "-c", "-o", obj, source], check=True)
        subprocess.run(["objcopy", "-O", "binary", "-j", ".text", obj, binary], check=True)
        names = subprocess.run(["nm", obj], check=True, capture_output=True, text=True).stdout
        labels = {name: int(value, 16) for value, kind, name in map(str.split, names.splitlines()) if kind == "t"}
        return Path(binary).read_bytes(), labels


def main() -> None:
    """Put bytes and offsets into blob.py."""
    code, offsets = assemble()
    target = SOURCE.with_suffix(".py")
    text = target.read_text()
    for label in LABELS:
        text = re.sub(rf"(?m)^{label.upper()} = \w+", f"{label.upper()} = {offsets[label]:#05x}", text)
    digits = code[: offsets["table_a"]].hex()
    lines = "".join(f'    "{digits[start : start + 100]}"\n' for start in range(0, len(digits), 100))
    text = re.sub(r"(?s)(fromhex\(\n).*?(?=\))", lambda match: match[1] + lines, text)
    target.write_text(text)


if __name__ == "__main__":
    main()
