"""What this host offers: each feature is tried, no version is ever compared.

A feature that is missing carries what to do about it. Probing changes nothing: failing calls are preferred to working
ones, and the one process that is needed (to be traced) is ours and ends with the probe.
"""

from __future__ import annotations

import os

from replant.abi import machine
from replant.host.feature import Feature

__all__ = ["Feature", "Host", "probe"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Host:
    """The features of this host, in the order in which they are shown; ``xfeatures`` is XCR0 of its CPU."""

    __slots__ = ("features", "xfeatures")

    def __init__(self, features: tuple[Feature, ...], xfeatures: int) -> None:
        self.features = features
        self.xfeatures = xfeatures

    def has(self, name: str) -> bool:
        """Whether a feature is there. :raises KeyError: for a name that is never probed."""
        for feature in self.features:
            if feature.name == name:
                return feature.present
        raise KeyError(name)

    def missing(self) -> list[Feature]:
        """The required features that are not there."""
        return [f for f in self.features if f.required and not f.present]


def probe() -> Host:
    """Try everything; about 5 ms. On another architecture no system call can be tried."""
    if not machine.fits():
        return Host((_kernel(),), 0)
    from replant.host import calls, traced

    on_a_task, xfeatures = traced.look()
    return Host((_kernel(), *_capabilities(), *calls.features(), *on_a_task, *_files()), xfeatures)


def _kernel() -> Feature:
    name = os.uname()
    return Feature(
        "kernel",
        machine.fits(),
        f"{name.sysname} {name.release} {name.machine}",
        "registers, system calls and the code run inside a task are those of x86-64",
        machine.HINT,
    )


_CAPABILITIES = (
    # number, name, required, serves (capabilities(7))
    (19, "CAP_SYS_PTRACE", True, "seizing tasks of other users"),
    (40, "CAP_CHECKPOINT_RESTORE", True, "giving back the same process ids; /proc/PID/map_files"),
    (21, "CAP_SYS_ADMIN", True, "descriptors of other users' tasks, namespaces"),
    (6, "CAP_SETGID", True, "restoring group ids"),
    (7, "CAP_SETUID", True, "restoring user ids"),
    (8, "CAP_SETPCAP", True, "restoring bounding and ambient capability sets"),
    (23, "CAP_SYS_NICE", True, "restoring niceness, real-time scheduling and affinity"),
    (1, "CAP_DAC_OVERRIDE", True, "opening files that only their owners may open"),
    (24, "CAP_SYS_RESOURCE", False, "raising hard limits and lowering oom_score_adj of restored tasks"),
    (39, "CAP_BPF", False, "observing by BPF iterators instead of /proc"),
    (38, "CAP_PERFMON", False, "observing by BPF iterators instead of /proc"),
    (12, "CAP_NET_ADMIN", False, "connected TCP sockets (TCP_REPAIR)"),
)


def _capabilities() -> Iterator[Feature]:
    held = _status_mask("CapEff")
    bounded = _status_mask("CapBnd")
    for number, name, required, serves in _CAPABILITIES:
        present = bool(held >> number & 1)
        fix = f"run as root, or with this capability (setpriv --inh-caps +{name[4:].lower()} …)"
        if not bounded >> number & 1:
            fix = "not even root has it here: add it to the capabilities of the container or service"
        yield Feature(name.lower(), present, "held" if present else "not held", serves, fix, required)


def _status_mask(key: str) -> int:
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(key.encode() + b":"):
                return int(line.split()[1], 16)
    return 0


def _files() -> Iterator[Feature]:
    """Features that show as files of /proc and /sys."""
    btf = "/sys/kernel/btf/vmlinux"
    can_read = os.access(btf, os.R_OK)
    detail = "readable" if can_read else "not there"
    serves = "observing by BPF iterators instead of /proc"
    yield Feature("btf", can_read, detail, serves, "a kernel built with CONFIG_DEBUG_INFO_BTF=y", False)
    timers = os.path.exists("/proc/self/timers")
    detail = "there" if timers else "/proc/PID/timers is not there"
    fix = "a kernel built with CONFIG_CHECKPOINT_RESTORE=y"
    yield Feature("proc-timers", timers, detail, "keeping POSIX timers", fix)
    scope = _yama()
    yield Feature(
        "ptrace-scope",
        scope < 3,
        f"yama {scope}" if scope else "open",
        "tracing a task",
        "kernel.yama.ptrace_scope is 3, which holds until the next boot: boot with another setting",
    )


def _yama() -> int:
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", "rb") as file:
            return int(file.read())
    except FileNotFoundError:
        return 0
