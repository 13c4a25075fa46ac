"""Section 22: devices and tracing files that have state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from behaviours.keeping import kept, refused

pytestmark = pytest.mark.isolated


def test_a_virtual_machine(tmp_path: Path) -> None:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip("no KVM here")
    for name in ("(kvm) has state", "kvm-vm", "kvm-vcpu"):
        folder = tmp_path / name.strip("()")
        folder.mkdir()
        refused(folder, "devices.kvm", naming=name)


def test_fuse(tmp_path: Path) -> None:
    refused(tmp_path, "devices.fuse", naming="character device 10:229 (fuse) has state")


def test_tracing(tmp_path: Path) -> None:
    refused(tmp_path, "devices.tracing", naming="what it traces cannot be kept (tracefs)")


def test_a_device_without_an_extension(tmp_path: Path) -> None:
    refused(tmp_path, "devices.clock", naming="has state that cannot be read")


def test_a_device_that_an_extension_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extension = Path(__file__).parent / "extension"
    monkeypatch.setenv("PYTHONPATH", f"{extension}:{os.environ.get('PYTHONPATH', '')}")
    kept(tmp_path, "devices.loop_control")


def test_files_made_when_they_are_read(tmp_path: Path) -> None:
    kept(tmp_path, "devices.generated")
