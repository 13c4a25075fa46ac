"""A Jupyter kernel and its client, which talk over TCP: what the kernel knows and what it computes goes on."""

from __future__ import annotations

import selfcheck  # isort: skip  before the client's threads are born

from jupyter_client import KernelManager

manager = KernelManager()
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
turn = 0


def ask(code: str) -> str:
    """What the kernel prints."""
    said: list[str] = []
    client.execute_interactive(code, timeout=60, output_hook=lambda m: said.append(m["content"].get("text", "")))
    return "".join(said).strip()


def check() -> None:
    global turn
    turn += 1
    assert ask("numbers.append(len(numbers)); print(sum(numbers), len(numbers))") == f"{turn * (turn - 1) // 2} {turn}"
    assert ask("print(next(squares))") == str(turn * turn)
    assert manager.is_alive()


assert ask("numbers = []; import itertools; squares = (n * n for n in itertools.count(1))") == ""
selfcheck.serve(check)
