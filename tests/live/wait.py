"""Waiting for facts, with a limit, never for time to pass."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from collections.abc import Callable
from pathlib import Path

LIMIT = 60.0  # seconds: far more than any fact takes on a loaded machine
IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80

_libc = ctypes.CDLL(None, use_errno=True)


class Died(AssertionError):
    """The process that was to bring a fact about has ended."""


def file_appears(path: Path, pid: int, limit: float = LIMIT) -> str:
    """Wait until ``path`` has been written and closed, or moved into place; its text.

    :raises Died: process ``pid`` ended first.
    :raises TimeoutError: after ``limit`` seconds.
    """
    watch = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    process = os.pidfd_open(pid)
    try:
        _libc.inotify_add_watch(watch, os.fsencode(path.parent), IN_CLOSE_WRITE | IN_MOVED_TO)
        if path.exists() and path.stat().st_size:  # it may have come before the watch
            return path.read_text()
        _until_named(watch, process, path.name, time.monotonic() + limit)
        return path.read_text()
    finally:
        os.close(watch)
        os.close(process)


def _until_named(watch: int, process: int, name: str, deadline: float) -> None:
    while True:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([watch, process], [], [], max(left, 0))
        if watch in ready and name in _names(os.read(watch, 65536)):
            return
        if process in ready:
            raise Died(f"the process that should write {name} has ended")
        if not ready:
            raise TimeoutError(f"{name} did not appear")


def _names(events: bytes) -> set[str]:
    found, at = set(), 0
    while at < len(events):
        (length,) = struct.unpack_from("<I", events, at + 12)
        found.add(events[at + 16 : at + 16 + length].rstrip(b"\0").decode(errors="replace"))
        at += 16 + length
    return found


def end_of(pid: int, limit: float = LIMIT) -> None:
    """Wait until process ``pid`` has ended (it may still be unreaped)."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([process], [], [], limit)[0]:
            raise TimeoutError(f"process {pid} still runs")
    finally:
        os.close(process)


def until(fact: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Wait for a fact that the kernel announces to nobody: look again and again, giving the processor away between."""
    deadline = time.monotonic() + limit
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        select.select([], [], [], 0.001)
