"""Numbers of timerfd_create(2): ``linux/timerfd.h``."""

from __future__ import annotations

TFD_TIMER_ABSTIME = 1
TFD_TIMER_CANCEL_ON_SET = 2
TFD_IOC_SET_TICKS = 0x40085400  # _IOW('T', 0, __u64)
