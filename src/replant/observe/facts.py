"""The facts themselves: tasks, mappings and files, every field with its kernel expression and its place in procfs.

Numbers of tasks are those of the caller's pid namespace. "0 without" means the structure does not exist, as for a
zombie or a kernel thread. Keys (``*_key``) are equal within one observation where tasks share the object.
"""

from __future__ import annotations

from . import decode
from .field import field
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .field import Missing

_LEVEL = "task->thread_pid->level"
_OWN = "task->thread_pid->numbers"
_PID = "task->signal->pids"
_LAYER = ("vma->vm_file->f_path.mnt->(mount mnt)mnt_ns", "vma->vm_file->f_inode->i_sb->s_flags")
_PROCESS = f"0? task->tgid | {_PID}[1]->numbers[L].nr"
_PARENT = "task->real_parent->signal->pids[1]"
_MM = "vma->vm_mm->"
_SB = "file->f_inode->i_sb->"
_SK = "file->private_data->sk"
_TTY = "task->signal->tty->"
_NS = "task->nsproxy->"
_CRED = "task->real_cred->"


def _namespace(name: str, since: str, kernel: str = "") -> Any:
    """A namespace of a thread."""
    chain = f"{_NS}{kernel or f'{name}_ns'}->ns.inum"
    return field("namespace inode, 0 without", chain, f"ns_{name}", thread=True, since=since)


def _shared(meaning: str, kernel: str, name: str, since: str = "") -> Any:
    """An object that threads may have in common."""
    return field(meaning, kernel, decode=decode.key(name), thread=True, since=since)


def _of_socket(meaning: str, member: str, since: str = "") -> Any:
    """A member of struct sock."""
    chains = ("file->f_inode->i_mode", f"{_SK}->{member}")
    return field(meaning, chains, decode=decode.of_socket, common=True, since=since)


class Task(Record):
    """A thread, or a process as its leader tells. Masks have bit 0 for signal or capability 1 or 0, as in procfs."""

    pid: int = field("thread id; of a leader: process id", f"0? task->pid | {_OWN}[L].nr", "stat.pid", thread=True)
    tgid: int = field("process id", _PROCESS, "status.tgid")
    ppid: int = field(
        "parent, 0 if outside",
        (f"0? =0 | {_PARENT}->level", f"0? task->real_parent->tgid | {_PARENT}->numbers[L].nr"),
        "stat.ppid",
        decode.number,
    )
    pgid: int = field(
        "group, 0 if outside", (f"0? =0 | {_PID}[2]->level", f"{_PID}[2]->numbers[L].nr"), "stat.pgrp", decode.number
    )
    sid: int = field(
        "session, 0 if outside",
        (f"0? =0 | {_PID}[3]->level", f"{_PID}[3]->numbers[L].nr"),
        "stat.session",
        decode.number,
    )
    ns_pid: tuple[int, ...] | Missing = field(
        "numbers from the caller's pid namespace inwards",
        (_LEVEL, _LEVEL, f"{_OWN}[L]:64s"), "status.ns_pid", decode.numbers, thread=True, since="4.1",
    )  # fmt: skip
    ns_pgid: tuple[int, ...] | Missing = field(
        "group in the same namespaces", (_LEVEL, f"{_PID}[2]->level", f"{_PID}[2]->numbers[L]:64s"),
        "status.ns_pgid", decode.numbers, since="4.1",
    )  # fmt: skip
    ns_sid: tuple[int, ...] | Missing = field(
        "session in the same namespaces", (_LEVEL, f"{_PID}[3]->level", f"{_PID}[3]->numbers[L]:64s"),
        "status.ns_sid", decode.numbers, since="4.1",
    )  # fmt: skip
    tracer_pid: int | Missing = field(
        "thread that traces it, 0 for none",
        ("task->ptrace", "task->parent->thread_pid->level", "task->parent->thread_pid->numbers[L].nr"),
        "status.tracer_pid", decode.tracer, thread=True,
    )  # fmt: skip
    state: str = field(
        "R S D T t X Z P I", ("task->__state", "task->exit_state"), "stat.state", decode.state, thread=True, common=True
    )
    comm: str = field("command name", "task->comm", "comm", decode.comm, thread=True, common=True)
    threads: int = field("threads of the process", "task->signal->nr_threads", "stat.num_threads", since="2.6")
    flags: int = field("PF_*", "task->flags", "stat.flags", thread=True)
    exit_code: int = field(
        "wait status of an end or a stop",
        (
            *("task->exit_code", "task->pid", "task->tgid"),
            *("task->sighand", "task->signal->flags", "task->signal->group_exit_code"),
        ),
        "stat.exit_code", decode.exit_code, thread=True, common=True, since="3.5",
    )  # fmt: skip
    exit_signal: int = field(
        "signal to the parent, -1: thread", "task->exit_signal", "stat.exit_signal", thread=True, since="2.1.22"
    )
    start_ticks: int = field(
        "start after boot", "task->start_boottime", "stat.starttime", decode.ticks_of_ns, unit="1/100 s",
        thread=True, since="2.6",
    )  # fmt: skip
    start_ns: int | Missing = field("start after boot", "task->start_boottime", unit="ns", thread=True)
    tty: int = field(
        "controlling terminal as dev_t, 0: none",
        ("task->signal->tty", f"{_TTY}driver->major", f"{_TTY}driver->minor_start", f"{_TTY}index"),
        "stat.tty_nr", decode.tty, common=True,
    )  # fmt: skip
    exe: str | Missing | None = field(
        "executable", ("task->mm->exe_file->f_path.mnt", "task->mm->exe_file->f_path.dentry"), "exe",
        decode.path, common=True, since="2.2",
    )  # fmt: skip
    cwd: str | Missing | None = field(
        "current directory", ("task->fs->pwd.mnt", "task->fs->pwd.dentry"), "cwd", decode.path, thread=True, common=True
    )
    root: str | Missing | None = field(
        "root directory", ("task->fs->root.mnt", "task->fs->root.dentry"), "root", decode.path, thread=True, common=True
    )
    umask: int | Missing | None = field(
        "umask", ("task->fs", "task->fs->umask"), "status.umask", decode.none_without,
        thread=True, common=True, since="4.7",
    )  # fmt: skip

    uids: tuple[int, ...] = field(
        "real, effective, saved, filesystem", (f"{_CRED}uid", f"{_CRED}euid", f"{_CRED}suid", f"{_CRED}fsuid"),
        "status.uids", thread=True, common=True,
    )  # fmt: skip
    gids: tuple[int, ...] = field(
        "real, effective, saved, filesystem", (f"{_CRED}gid", f"{_CRED}egid", f"{_CRED}sgid", f"{_CRED}fsgid"),
        "status.gids", thread=True, common=True,
    )  # fmt: skip
    groups: tuple[int, ...] | Missing = field(
        "supplementary groups", (f"{_CRED}group_info->ngroups", f"{_CRED}group_info->gid:256s"),
        "status.groups", decode.groups, thread=True,
    )  # fmt: skip
    cap_inheritable: int = field("capabilities", f"{_CRED}cap_inheritable", "status.cap_inheritable", thread=True)
    cap_permitted: int = field("capabilities", f"{_CRED}cap_permitted", "status.cap_permitted", thread=True)
    cap_effective: int = field("capabilities", f"{_CRED}cap_effective", "status.cap_effective", thread=True)
    cap_bounding: int = field("capabilities", f"{_CRED}cap_bset", "status.cap_bounding", thread=True, since="2.6.26")
    cap_ambient: int = field("capabilities", f"{_CRED}cap_ambient", "status.cap_ambient", thread=True, since="4.3")
    securebits: int | Missing = field("prctl(PR_GET_SECUREBITS)", f"{_CRED}securebits", thread=True, since="2.6.26")
    no_new_privs: bool = field(
        "prctl(PR_GET_NO_NEW_PRIVS)", "task->atomic_flags", "status.no_new_privs", decode.bit(0), thread=True,
        common=True, since="4.10",
    )  # fmt: skip
    seccomp: int = field("0 none, 1 strict, 2 filter", "task->seccomp.mode", "status.seccomp", thread=True, since="3.8")
    seccomp_filters: int | Missing = field(
        "filters installed", "task->seccomp.filter_count", "status.seccomp_filters", thread=True, since="5.9"
    )

    sig_blocked: int = field("mask", "task->blocked", "status.sig_blocked", thread=True)
    sig_pending: int = field("pending for the thread", "task->pending.signal", "status.sig_pending", thread=True)
    shared_pending: int = field(
        "pending for the process", "task->signal->shared_pending.signal", "status.shared_pending"
    )
    sig_ignored: int = field("mask", "task->sighand->action", "status.sig_ignored", decode.handled(True))
    sig_caught: int = field("mask", "task->sighand->action", "status.sig_caught", decode.handled(False))
    sigactions: bytes | Missing = field("64 x handler, flags, restorer, mask, u64 each", "task->sighand->action")
    altstack: tuple[int, ...] | Missing = field(
        "sigaltstack(2): address, size, flags",
        ("task->sas_ss_sp", "task->sas_ss_size", "task->sas_ss_flags"),
        thread=True,
    )
    pdeath_signal: int | Missing = field("prctl(PR_GET_PDEATHSIG)", "task->pdeath_signal", thread=True, since="2.3.15")

    set_child_tid: int | Missing = field("address", "task->set_child_tid", thread=True, since="2.5.49")
    clear_child_tid: int | Missing = field("address", "task->clear_child_tid", thread=True, since="2.5.49")
    robust_list: int | Missing = field("address", "task->robust_list", thread=True, since="2.6.17")
    rseq: int | Missing = field("address, 0: none", "task->rseq | task->rseq'.usrptr", thread=True, since="4.18")
    rseq_len: int | Missing = field("bytes", "task->rseq_len | task->rseq'.len", thread=True, since="4.18")
    rseq_sig: int | Missing = field("signature", "task->rseq_sig | task->rseq'.sig", thread=True, since="4.18")
    fsbase: int | Missing = field("saved when last scheduled out", "task->thread.fsbase", thread=True)
    gsbase: int | Missing = field("saved when last scheduled out", "task->thread.gsbase", thread=True)

    policy: int = field("SCHED_*", "task->policy", "stat.policy", thread=True, since="2.5.19")
    nice: int = field("-20..19", "task->static_prio", "stat.nice", decode.nice, thread=True, common=True)
    rt_priority: int = field("0..99", "task->rt_priority", "stat.rt_priority", thread=True, since="2.5.19")
    reset_on_fork: bool | Missing = field(
        "SCHED_RESET_ON_FORK", "task->sched_reset_on_fork", decode=decode.true, thread=True, common=True, since="2.6.32"
    )
    timer_slack_ns: int | Missing = field(
        "prctl(PR_GET_TIMERSLACK)", "task->timer_slack_ns", unit="ns", thread=True, since="2.6.28"
    )
    ioprio: int | Missing = field(
        "ioprio_get(2), 0 without an io context", "task->io_context->ioprio", thread=True, since="2.6.13"
    )
    cpus_allowed: int = field(
        "mask", "task->cpus_ptr->bits", "status.cpus_allowed", decode.cpus, thread=True, common=True, since="2.6.24"
    )
    personality: int | Missing = field(
        "personality(2)", "task->personality", "personality", thread=True, since="2.6.28"
    )
    oom_score_adj: int = field("-1000..1000", "task->signal->oom_score_adj", "oom_score_adj", since="2.6.36")
    rlimits: tuple[tuple[int, int], ...] = field(
        "16 x (soft, hard), all bits set: none", "task->signal->rlim", "rlimits", decode.limits, since="2.6.24"
    )

    subreaper: bool | Missing = field(
        "prctl(PR_GET_CHILD_SUBREAPER)", "task->signal->is_child_subreaper", decode=decode.true, common=True,
        since="3.4",
    )  # fmt: skip
    has_subreaper: bool | Missing = field(
        "an ancestor is a subreaper", "task->signal->has_child_subreaper", decode=decode.true, common=True, since="3.4"
    )
    group_exit_code: int | Missing = field("of a stop or an exit under way", "task->signal->group_exit_code")
    signal_flags: int | Missing = field("SIGNAL_*: stopped, continued, exiting", "task->signal->flags")
    posix_timers: bool | Missing = field(
        "has timers of timer_create(2)", "task->signal->posix_timers.first", "has_timers", decode.true, since="3.10"
    )
    itimer_real: tuple[int, ...] | Missing = field(
        "setitimer(2): armed, CLOCK_MONOTONIC expiry, interval",
        (
            "task->signal->real_timer.state | task->signal->real_timer.is_queued",
            "task->signal->real_timer.node.expires",
            "task->signal->it_real_incr",
        ),
        unit="ns",
    )
    itimers_cpu: bytes | Missing = field(
        "ITIMER_PROF, ITIMER_VIRTUAL: expires, interval, u64 each", "task->signal->it", unit="ns"
    )

    ns_uts: int = _namespace("uts", "3.0")
    ns_ipc: int = _namespace("ipc", "3.0")
    ns_mnt: int = _namespace("mnt", "3.8")
    ns_net: int = _namespace("net", "3.0")
    ns_cgroup: int = _namespace("cgroup", "4.6")
    ns_time: int = _namespace("time", "5.6")
    ns_time_children: int = _namespace("time_children", "5.6", "time_ns_for_children")
    ns_pid_children: int = field(
        "namespace inode, 0 without",
        (f"{_NS}pid_ns_for_children->child_reaper", f"{_NS}pid_ns_for_children->ns.inum"), "ns_pid_children",
        decode.unless_empty, thread=True, common=True, since="4.12",
    )  # fmt: skip
    ns_pid_own: int = field("namespace inode", (f"{_OWN}[{{level}}].ns->ns.inum",), "ns_pid_own", since="3.8")
    ns_user: int = field("namespace inode", f"{_CRED}user_ns->ns.inum", "ns_user", thread=True, since="3.8")
    cgroup_id: int | Missing = field("inode of the cgroup v2 directory", "task->cgroups->dfl_cgrp->kn->id", thread=True)

    vm_kib: int = field(
        "address space, 0 without", "task->mm->total_vm", "status.vm_size", decode.kib_of_pages, unit="KiB", common=True
    )
    locked_kib: int = field(
        "locked memory, 0 without", "task->mm->locked_vm", "status.vm_locked", decode.kib_of_pages, unit="KiB",
        common=True,
    )  # fmt: skip
    rss_about_kib: int | Missing = field(
        "resident memory without what each CPU has not yet added up (procfs.resident_kib is exact)",
        ("task->mm->rss_stat[0].count", "task->mm->rss_stat[1].count", "task->mm->rss_stat[3].count"),
        decode=decode.rss, unit="KiB", moving=True,
    )  # fmt: skip
    map_count: int | Missing = field("mappings, 0 without", "task->mm->map_count")
    dumpable: int | Missing = field(
        "prctl(PR_GET_DUMPABLE), 0 without", "task->mm->flags | task->mm->flags'", decode=decode.dumpable,
        common=True, since="2.3.20",
    )  # fmt: skip
    start_code: int = field("address, 0 without", "task->mm->start_code", "stat.startcode")
    end_code: int = field("address, 0 without", "task->mm->end_code", "stat.endcode")
    start_data: int = field("address, 0 without", "task->mm->start_data", "stat.start_data", since="3.3")
    end_data: int = field("address, 0 without", "task->mm->end_data", "stat.end_data", since="3.3")
    start_brk: int = field("address, 0 without", "task->mm->start_brk", "stat.start_brk", since="3.3")
    brk: int | Missing = field("address, 0 without", "task->mm->brk")
    start_stack: int = field("address, 0 without", "task->mm->start_stack", "stat.startstack")
    arg_start: int = field("address, 0 without", "task->mm->arg_start", "stat.arg_start", since="3.5")
    arg_end: int = field("address, 0 without", "task->mm->arg_end", "stat.arg_end", since="3.5")
    env_start: int = field("address, 0 without", "task->mm->env_start", "stat.env_start", since="3.5")
    env_end: int = field("address, 0 without", "task->mm->env_end", "stat.env_end", since="3.5")
    auxv: tuple[tuple[int, int], ...] = field(
        "(type, value) without AT_NULL", "task->mm->saved_auxv", "auxv", decode.auxv, since="2.6"
    )

    mm_key: int | Missing = _shared("address space", "task->mm", "mm", "3.5")
    files_key: int | Missing = _shared("descriptor table", "task->files", "files", "3.5")
    fs_key: int | Missing = _shared("directories and umask", "task->fs", "fs", "3.5")
    sighand_key: int | Missing = _shared("signal actions", "task->sighand", "sighand", "3.5")
    io_key: int | Missing = _shared("io context", "task->io_context", "io", "3.5")
    sysvsem_key: int | Missing = _shared("semaphore undo list", "task->sysvsem.undo_list", "sysvsem", "3.5")
    seccomp_key: int | Missing = _shared("innermost filter", "task->seccomp.filter", "seccomp")
    cred_key: int | Missing = _shared("credentials in use", "task->cred", "cred")
    namespaces_key: int | Missing = _shared("all namespaces but user and own pid", "task->nsproxy", "nsproxy")
    cgroups_key: int | Missing = _shared("control groups in all hierarchies", "task->cgroups", "cgroups")
    mempolicy_key: int | Missing = _shared("memory policy of the thread", "task->mempolicy", "mempolicy")
    thread_flags: int | Missing = field("TIF_*, as this kernel numbers them", "task->thread_info.flags", thread=True)
    atomic_flags: int | Missing = field("PFA_*", "task->atomic_flags", thread=True)
    thread_features: int | Missing = field("ARCH_SHSTK_* in use", "task->thread.features", thread=True, since="6.6")
    core_cookie: int | Missing = field("whom it shares a core with", "task->core_cookie", thread=True, since="5.14")
    io_uring: bool | Missing = field(
        "has used io_uring", "task->io_uring", decode=decode.true, thread=True, since="5.1"
    )


class Vma(Record):
    """A mapping of a process. ``prot`` has the bits of mmap(2)."""

    pid: int = field("process id", _PROCESS, "pid")
    start: int = field("first address", "vma->vm_start", "start")
    end: int = field("address behind the last", "vma->vm_end", "end")
    prot: int = field("1 read, 2 write, 4 execute", "vma->vm_flags", "prot", decode.prot, common=True)
    shared: bool = field("MAP_SHARED", "vma->vm_flags", "shared", decode.shared, common=True)
    # of anonymous memory the kernel's page offset means nothing
    offset: int = field(
        "offset in the file, 0 without", "vma->vm_pgoff if vma->vm_file", "offset", decode.bytes_of_pages,
        unit="bytes", common=True,
    )  # fmt: skip
    dev: tuple[int, int] | Missing = field(
        "(major, minor) of the file system", (*_LAYER, "vma->vm_file->f_inode->i_sb->s_dev"), "dev",
        decode.mapped_device, common=True,
    )  # fmt: skip
    inode: int | Missing = field(
        "of the file, 0 without", (*_LAYER, "vma->vm_file->f_inode->i_ino"), "inode", decode.mapped_inode, common=True
    )
    path: str | Missing = field(
        "file, or the kernel's name in brackets, or empty",
        (
            *(*_LAYER, "vma->vm_file->f_path.mnt", "vma->vm_file->f_path.dentry"),
            *("vma->vm_ops", "vma->vm_private_data unless vma->vm_file"),
            *(f"vma->vm_start < {_MM}brk", f"{_MM}start_brk < vma->vm_end"),
            *(f"vma->vm_start <= {_MM}start_stack", f"{_MM}start_stack <= vma->vm_end"),
        ),
        "path", decode.vma_name, common=True,
    )  # fmt: skip
    vm_flags: str | Missing = field(
        "words of VmFlags in smaps", "vma->vm_flags", "flags", decode.vm_flags, common=True, since="3.8"
    )
    private_pages: bool | Missing = field(
        "has had private pages (anon_vma)", "some vma->anon_vma", decode=decode.true, common=True
    )
    file_key: int | Missing = field("file description", "vma->vm_file", decode=decode.key("file"))


class File(Record):
    """A descriptor of a process and the file description behind it."""

    pid: int = field("process id", _PROCESS, "pid")
    fd: int = field("descriptor", "number", "number")
    target: str | Missing = field(
        "what the link in procfs reads", ("file->f_path.mnt", "file->f_path.dentry"), "target", decode.path, common=True
    )
    pos: int = field("offset", "file->f_pos", "info.pos", unit="bytes", since="2.6.22")
    flags: int = field(
        "open(2) flags with O_CLOEXEC",
        ("file->f_flags", "task->files->fdt->close_on_exec[{number}/64] bit number"), "info.flags",
        decode.file_flags, common=True, since="3.1",
    )  # fmt: skip
    mnt_id: int = field(
        "mount, as in mountinfo", "file->f_path.mnt->(mount mnt)mnt_id", "info.mnt_id", common=True, since="3.15"
    )
    inode: int | Missing = field("number inside the file system", "file->f_inode->i_ino", "info.inode", since="5.14")
    dev: tuple[int, int] | Missing = field(
        "stat(2): file system as (major, minor)", (f"{_SB}s_magic", f"{_SB}s_dev"), "dev", decode.stat_device,
        common=True,
    )  # fmt: skip
    mode: int | Missing = field(
        "stat(2): type and permissions", (f"{_SB}s_magic", "file->f_inode->i_mode"), "mode", decode.stat_mode,
        common=True,
    )  # fmt: skip
    rdev: tuple[int, int] = field(
        "(major, minor) of a device", "file->f_inode->i_rdev", "rdev", decode.device, common=True
    )
    size: int = field("of the inode", "file->f_inode->i_size", "size", unit="bytes", moving=True)
    nlink: int = field("links to the inode", "file->f_inode->i_nlink", "nlink", moving=True)
    inode_state: int | Missing = field(
        "I_* of the inode, by the running kernel's numbers",
        "file->f_inode->i_state | file->f_inode->i_state' | file->f_inode->i_state''",
        moving=True,
    )
    file_key: int | Missing = field("file description", "address", decode=decode.key("file"), since="3.5")
    ops_key: int | Missing = field(
        "file_operations: files of one kind share it", "file->f_op", decode=decode.key("ops")
    )
    more_info: bool = field(
        "fdinfo may have more than the four common lines",
        ("some file->f_op->show_fdinfo", "some file->f_inode->i_flctx"), "has_more", decode.either, moving=True,
        common=True, since="3.8",
    )  # fmt: skip
    family: int | Missing = _of_socket("AF_* of a socket, else 0", "__sk_common.skc_family", "2.6.32")
    socktype: int | Missing = _of_socket("SOCK_* of a socket, else 0", "sk_type")
    protocol: int | Missing = _of_socket("of a socket, else 0", "sk_protocol", "2.6.32")
    tcp_sequences: tuple[int, int] | Missing | None = field(
        "TCP_QUEUE_SEQ of the send and the receive queue, None without",
        (
            *("file->f_inode->i_mode", f"{_SK}->sk_protocol", f"{_SK}->sk_type"),
            *(f"{_SK}->(tcp_sock inet_conn)write_seq", f"{_SK}->(tcp_sock inet_conn)rcv_nxt"),
        ),
        decode=decode.tcp, since="3.5",
    )  # fmt: skip
