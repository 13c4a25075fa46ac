"""Attributes of inodes and mounts: ``linux/fs.h``, ``linux/mount.h``."""

from __future__ import annotations

from struct import Struct

FS_IOC_GETFLAGS = 0x80086601
FS_IOC_SETFLAGS = 0x40086602

FS_SYNC_FL = 0x8
FS_IMMUTABLE_FL = 0x10
FS_APPEND_FL = 0x20
FS_NODUMP_FL = 0x40
FS_NOATIME_FL = 0x80
FS_VERITY_FL = 0x100000
FS_NOCOW_FL = 0x800000
#: those that chattr(1) can give to a regular file, and that another file does not get by itself
FS_CHOSEN_FL = FS_SYNC_FL | FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_NOCOW_FL

OPEN_TREE_CLONE = 1
MOUNT_ATTR_RDONLY = 1
#: ``struct mount_attr``: attr_set, attr_clr, propagation, userns_fd
MOUNT_ATTR = Struct("=4Q")
