"""Control groups, cgroups(7) and Documentation/admin-guide/cgroup-v1, cgroup-v2: what of a group is no setting.

A group is a directory, and a file in it that can be read and written is a setting, but for these.
"""

from __future__ import annotations

#: what moves tasks, waits for events, or does something; and usage that is reset by writing
NO_SETTING = frozenset({
    "cgroup.procs", "cgroup.threads", "tasks", "cgroup.event_control", "cgroup.freeze", "freezer.state",
    "memory.force_empty", "memory.reclaim", "memory.peak", "memory.swap.peak", "pids.peak", "release_agent",
    "memory.numa_stat", "cgroup.kill", "cpu.weight.nice", "cpu.shares.nice",
})  # fmt: skip
COUNTERS = (".failcnt", "max_usage_in_bytes", ".pressure", ".reset_stats")

#: what a new group has, where writing it again is an error or is a long way to say nothing
NEW = {
    "cgroup.type": "domain",
    "cpuset.sched_relax_domain_level": "-1",
    "memory.move_charge_at_immigrate": "0",
    "memory.use_hierarchy": "1",
}
#: of a limit: there is none, as new groups have it, and as some show it once it has been set; not so of a protection
NO_LIMIT = ("max", "9223372036854771712")
PROTECTIONS = (".low", ".min")

#: needed before others can be set
FIRST = ("cgroup.type", "cpuset.cpus", "cpuset.mems", "cpu.cfs_period_us", "cpu.cfs_quota_us", "memory.limit_in_bytes")
