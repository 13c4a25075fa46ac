"""capget(2), capset(2) and secure bits: ``linux/capability.h``, ``linux/securebits.h``."""

from __future__ import annotations

from struct import Struct

_VERSION_3 = 0x20080522

#: ``struct __user_cap_header_struct`` that means the calling thread
SELF = Struct("<Ii").pack(_VERSION_3, 0)

_DATA = Struct("<6I")
SIZE = _DATA.size

CAP_SETPCAP = 8
CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21
CAP_SYS_RESOURCE = 24
CAP_WAKE_ALARM = 35
CAP_LAST = 40  # CAP_CHECKPOINT_RESTORE

SECBIT_NOROOT = 1 << 0
SECBIT_NO_SETUID_FIXUP = 1 << 2
SECBIT_KEEP_CAPS = 1 << 4
SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 6

_NAMES = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner"),
    *("sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice"),
    *("sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap"),
    *("mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf"),
    "checkpoint_restore",
)


def pack(effective: int, permitted: int, inheritable: int) -> bytes:
    """Two ``struct __user_cap_data_struct``: the low words of the three sets, then the high words."""
    low = (1 << 32) - 1
    return _DATA.pack(
        effective & low, permitted & low, inheritable & low, effective >> 32, permitted >> 32, inheritable >> 32
    )


def unpack(data: bytes | bytearray) -> tuple[int, int, int]:
    """(effective, permitted, inheritable), the inverse of `pack`."""
    low = _DATA.unpack(data)
    return low[0] | low[3] << 32, low[1] | low[4] << 32, low[2] | low[5] << 32


def numbers(mask: int) -> list[int]:
    """The capabilities in a set."""
    return [number for number in range(mask.bit_length()) if mask >> number & 1]


def names(mask: int) -> str:
    """The capabilities in a set, as capabilities(7) writes them."""
    return ", ".join(f"CAP_{_NAMES[n].upper()}" if n < len(_NAMES) else f"CAP_{n}" for n in numbers(mask))
