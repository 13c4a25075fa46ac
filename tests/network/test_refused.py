"""Internet sockets that cannot be kept are refused by name, and go on as if nobody had asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from live.command import replant_json
from live.program import Program
from replant.resources.shared.packet_lock import Lock

HERE = Path(__file__).parent
CODES = {
    "urgent": "tcp-urgent",
    "peek_offset": "peek-offset",
    "zero_copy": "tcp-zero-copy",
    "signed": "tcp-signed",
    "saved_syn": "tcp-saved-syn",
    "pending_error": "error",
    "not_accepted": "pending",
    "multipath": "kind-mptcp",
    "unread_datagram": "unsupported",
    "corked_datagram": "unsupported",
    "multicast": "unsupported",
    "vsock": "kind-vsock",
}
pytestmark = pytest.mark.isolated


@pytest.mark.parametrize(("name", "code"), CODES.items(), ids=CODES)
def test_refused_by_name_and_unharmed(name: str, code: str, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    argv = [sys.executable, str(HERE / "held.py"), name]
    with Program.start(argv, folder, {"PYTHONPATH": f"{HERE.parent / 'programs'}"}) as program:
        program.until_ready()
        answer = replant_json("dump", program.root, "-o", tmp_path / "image", "--kill", expect=1)
        assert code in {blocker["code"] for blocker in answer["blockers"]}, answer
        assert all(blocker["hint"] for blocker in answer["blockers"])
        lock = Lock()
        assert lock.tables() == []
        lock.close()
        program.ask()
