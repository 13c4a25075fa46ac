"""Devices and files that have state which nobody can read."""

from __future__ import annotations

import fcntl
import mmap
import os
import stat

from held import Check, mount


def _holds(*files: int) -> Check:
    was = [os.readlink(f"/proc/self/fd/{fd}") for fd in files]

    def check() -> None:
        now = [os.readlink(f"/proc/self/fd/{fd}") for fd in files]
        assert now == was, f"{was} -> {now}"

    return check


def kvm() -> Check:
    """A virtual machine with a processor, whose state is mapped."""
    system = os.open("/dev/kvm", os.O_RDWR)
    machine = fcntl.ioctl(system, 0xAE01, 0)  # KVM_CREATE_VM
    processor = fcntl.ioctl(machine, 0xAE41, 0)  # KVM_CREATE_VCPU
    state = mmap.mmap(processor, fcntl.ioctl(system, 0xAE04))  # KVM_GET_VCPU_MMAP_SIZE
    check = _holds(system, machine, processor)
    return lambda: check() if len(state) else None


def fuse() -> Check:
    return _holds(os.open("/dev/fuse", os.O_RDWR))


def tracing() -> Check:
    os.mkdir("tracing")
    mount("tracing", kind=b"tracefs")
    return _holds(os.open("tracing/trace_pipe", os.O_RDONLY | os.O_NONBLOCK))


def clock() -> Check:
    """The real-time clock; where there is none, another device that an extension may know."""
    return _holds(os.open("/dev/rtc0", os.O_RDONLY)) if os.path.exists("/dev/rtc0") else loop_control()


def loop_control() -> Check:
    return _holds(os.open("/dev/loop-control", os.O_RDWR))


def generated() -> Check:
    """Files of sysfs, whose size and time say nothing."""
    fd = os.open("/sys/kernel/mm/transparent_hugepage/enabled", os.O_RDONLY)

    def check() -> None:
        assert b"madvise" in os.pread(fd, 100, 0)
        assert stat.S_ISREG(os.fstat(fd).st_mode)

    return check
