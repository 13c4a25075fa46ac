"""Scheduling: ``struct sched_attr`` of ``linux/sched/types.h``, policies of ``linux/sched.h``, ``linux/ioprio.h``."""

from __future__ import annotations

from struct import Struct

SCHED_OTHER = 0
SCHED_FIFO = 1
SCHED_RR = 2
SCHED_BATCH = 3
SCHED_IDLE = 5
SCHED_DEADLINE = 6
SCHED_EXT = 7

SCHED_FLAG_RESET_ON_FORK = 0x01
SCHED_FLAG_UTIL_CLAMP_MIN = 0x20
SCHED_FLAG_UTIL_CLAMP_MAX = 0x40

#: SCHED_ATTR_SIZE_VER1: size, policy, flags, nice, priority, runtime, deadline, period (ns), util_min, util_max
SCHED_ATTR = Struct("<IIQiIQQQII")

UTIL_MAX = 1024  # SCHED_CAPACITY_SCALE

PRIO_PROCESS = 0

IOPRIO_WHO_PROCESS = 1
IOPRIO_CLASS_SHIFT = 13
IOPRIO_CLASS_RT = 1
IOPRIO_CLASS_BE = 2
IOPRIO_CLASS_IDLE = 3
