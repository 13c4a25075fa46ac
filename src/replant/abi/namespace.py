"""Numbers of namespaces and mounts: ``linux/sched.h``, ``mount.h`` and ``nsfs.h``; owners of descriptors, fcntl(2)."""

from __future__ import annotations

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000

MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REC = 0x4000
MS_SLAVE = 1 << 19

NS_GET_PARENT = 0xB702

F_SETOWN = 8
F_GETOWN = 9
