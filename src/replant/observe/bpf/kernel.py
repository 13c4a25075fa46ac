"""The structures of the kernel that are read: members and their types, as far as needed, and no offsets.

:mod:`.layout` asks the running kernel where each member is, so the order here means nothing and a member that a
kernel does not have is no error. ``T *`` is a pointer, ``T name[]`` an array, ``bit`` a bit field, ``struct8`` eight
bytes of a structure that has no name of its own, and ``flow.stopped`` a member of such a one. A prime tells two types
apart that a member has had: ``rseq`` was a pointer and became a structure in Linux 6.19; ``i_state`` was an integer, an
enumeration and a structure.
"""

from __future__ import annotations

from ..record import Record

OPAQUE = {"struct4": 4, "struct8": 8}
INTS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "s8": 1, "s16": 2, "s32": 4, "s64": 8, "char": 1, "bit": 4, "enum": 4}


CAST = "bpf_rdonly_cast"  # makes any address memory to read, when the type it is to have is void


class Member(Record):
    """A member of a kernel structure as declared: its type, and what it is of that type."""

    name: str
    type: str
    pointer: bool
    array: bool


class Place(Record):
    """Where a member is: ``size`` in bytes (0 for structures), ``shift`` the two shifts of a bit field in 64 bits."""

    offset: int
    size: int
    shift: tuple[int, int]


class Layout:
    """What the running kernel told: ``places`` by (structure, member), ``sizes`` by structure, ``ids`` of functions."""

    def __init__(self, places: dict[tuple[str, str], Place], sizes: dict[str, int], ids: dict[str, int]) -> None:
        self.places = places
        self.sizes = sizes
        self.ids = ids


DECLARATIONS = """
task_struct: task_struct *real_parent, task_struct *parent, pid *thread_pid, signal_struct *signal,
    sighand_struct *sighand, mm_struct *mm, fs_struct *fs, files_struct *files, nsproxy *nsproxy, cred *cred,
    cred *real_cred, u32 pid, u32 tgid, u32 __state, u32 exit_state, s32 exit_code, s32 exit_signal,
    s32 pdeath_signal, u32 flags, u32 personality, u32 ptrace, char comm[16], u64 start_boottime, u64 atomic_flags,
    s32 static_prio, u32 rt_priority, u32 policy, u64 timer_slack_ns, struct8 blocked, sigpending pending,
    u64 sas_ss_sp, u64 sas_ss_size, u32 sas_ss_flags, void *set_child_tid, void *clear_child_tid, void *robust_list,
    void *rseq, u32 rseq_len, u32 rseq_sig, rseq_data rseq', seccomp seccomp, cpumask *cpus_ptr,
    io_context *io_context, sysv_sem sysvsem, thread_struct thread, css_set *cgroups, bit sched_reset_on_fork,
    void *io_uring, restart_block restart_block, u64 jobctl, void *stack, void *mempolicy, thread_info thread_info,
    u64 core_cookie
thread_info: u64 flags
restart_block: void *fn, u64 nanosleep.expires, u32 nanosleep.clockid, u64 futex.time, u32 poll.has_timeout,
    u64 poll.tv_sec, u64 poll.tv_nsec
rseq_data: void *usrptr, u32 len, u32 sig
signal_struct: pid *pids[], rlimit rlim[], sigpending shared_pending, tty_struct *tty, s32 oom_score_adj,
    s32 nr_threads, s32 group_exit_code, u32 flags, bit is_child_subreaper, bit has_child_subreaper,
    hrtimer real_timer, u64 it_real_incr, cpu_itimer it[], hlist_head posix_timers
hrtimer: timerqueue_node node, u8 is_queued, u8 state, u64 _softexpires
hrtimer_sleeper: void *task
timer_list: u64 expires
process_timer: void *task
timerqueue_node: u64 expires
hlist_head: void *first
sighand_struct: k_sigaction action[]
sigpending: list_head list, struct8 signal
list_head: list_head *next
sigqueue: list_head list, siginfo48 info
tty_struct: tty_driver *driver, s32 index, tty_struct *link, s32 count, tty_port *port, n_tty_data *disc_data,
    u8 flow.stopped, u8 flow.tco_stopped
tty_driver: s32 major, s32 minor_start
tty_file_private: tty_struct *tty
tty_port: tty_bufhead buf
tty_bufhead: tty_buffer *head
tty_buffer: tty_buffer *next, u32 commit, u32 read, u8 data[]
n_tty_data: u64 read_head, u64 read_tail, u64 echo_head, u64 echo_tail, u8 read_buf[], u64 read_flags[], bit lnext
pid: u32 level, upid numbers[]
upid: s32 nr, pid_namespace *ns
pid_namespace: ns_common ns, u32 level, task_struct *child_reaper
ns_common: u32 inum
nsproxy: uts_namespace *uts_ns, ipc_namespace *ipc_ns, mnt_namespace *mnt_ns, pid_namespace *pid_ns_for_children,
    net *net_ns, time_namespace *time_ns, time_namespace *time_ns_for_children, cgroup_namespace *cgroup_ns
uts_namespace: ns_common ns
ipc_namespace: ns_common ns
mnt_namespace: ns_common ns
net: ns_common ns
time_namespace: ns_common ns
cgroup_namespace: ns_common ns
user_namespace: ns_common ns
cred: struct4 uid, struct4 euid, struct4 suid, struct4 fsuid, struct4 gid, struct4 egid, struct4 sgid, struct4 fsgid,
    u32 securebits, struct8 cap_inheritable, struct8 cap_permitted, struct8 cap_effective, struct8 cap_bset,
    struct8 cap_ambient, group_info *group_info, user_namespace *user_ns
group_info: s32 ngroups, struct4 gid[]
fs_struct: s32 umask, path pwd, path root
path: dentry *dentry, vfsmount *mnt
inode: u64 i_ino, u16 i_mode, u32 i_rdev, s64 i_size, u32 i_nlink, super_block *i_sb, void *i_flctx,
    u32 i_state, enum i_state', struct4 i_state''
super_block: u32 s_dev, u64 s_flags, u64 s_magic
mount: vfsmount mnt, s32 mnt_id, mnt_namespace *mnt_ns
mm_struct: u64 start_code, u64 end_code, u64 start_data, u64 end_data, u64 start_brk, u64 brk, u64 start_stack,
    u64 arg_start, u64 arg_end, u64 env_start, u64 env_end, u64 total_vm, u64 locked_vm, s32 map_count,
    u64 saved_auxv[], file *exe_file, kioctx_table *ioctx_table, u64 flags, struct8 flags', percpu_counter rss_stat[]
percpu_counter: s64 count
kioctx_table: u32 nr, kioctx *table[]
kioctx: kioctx_cpu *cpu, u64 user_id, u32 max_reqs, u32 nr_events, struct4 reqs_available, u32 completed_events
kioctx_cpu: u32 reqs_available
bpf_array: void *pptrs[]
file: s64 f_pos, u32 f_flags, inode *f_inode, path f_path, file_operations *f_op, socket *private_data
file_operations: void *show_fdinfo
socket: sock *sk, s16 type
sock: sock_common __sk_common, u16 sk_protocol, u16 sk_type, sk_buff_head sk_receive_queue
sk_buff_head: sk_buff *next
sk_buff: sk_buff *next, u32 len, char cb[48]
unix_skb_parms: scm_fp_list *fp
scm_fp_list: s16 count, file *fp[]
eventpoll: rb_root_cached rbr
rb_root_cached: rb_root rb_root
rb_root: rb_node *rb_node
rb_node: rb_node *rb_left, rb_node *rb_right
epitem: rb_node rbn, epoll_filefd ffd, epoll_event event
epoll_filefd: file *file, s32 fd
epoll_event: u32 events, u64 data
io_ring_ctx: u32 flags, list_head timeout_list, void *io_ev_fd
tcp_sock: inet_connection_sock inet_conn, u32 write_seq, u32 rcv_nxt
sock_common: u16 skc_family
seccomp: s32 mode, struct4 filter_count, void *filter
cpumask: u64 bits[]
sysv_sem: sem_undo_list *undo_list
sem_undo_list: list_head list_proc
sem_undo: list_head list_proc, s32 semid, s16 semadj[], void *semadj'
mqueue_inode_info: inode vfs_inode, rb_root msg_tree, sigevent notify, void *notify_owner
sigevent: s32 sigev_signo, s32 sigev_notify
posix_msg_tree_node: rb_node rb_node, list_head msg_list, s32 priority
msg_msg: list_head m_list, u64 m_ts, msg_msgseg *next
msg_msgseg: msg_msgseg *next
thread_struct: u64 fsbase, u64 gsbase, u64 features
css_set: cgroup *dfl_cgrp
cgroup: kernfs_node *kn
kernfs_node: u64 id
files_struct: fdtable *fdt
fdtable: u64 *close_on_exec
vm_area_struct: mm_struct *vm_mm, u64 vm_start, u64 vm_end, u64 vm_flags, u64 vm_pgoff, file *vm_file, void *vm_ops,
    vm_special_mapping *vm_private_data, void *anon_vma
vm_special_mapping: char *name
io_context: u16 ioprio
"""


class _Declared(dict[str, dict[str, Member]]):
    """Members by structure, parsed when they are first asked for: one set of fields needs a few structures."""

    def __missing__(self, name: str) -> dict[str, Member]:
        members = self[name] = {m.name: m for m in map(_member, _lines()[name].split(","))}
        return members


_declared = _Declared()
_by_name: dict[str, str] = {}


def _lines() -> dict[str, str]:
    """The declaration of each structure, as text."""
    if not _by_name:
        for line in DECLARATIONS.strip().replace(",\n", ",").splitlines():
            name, _, members = line.partition(":")
            _by_name[name] = members
    return _by_name


def structures() -> dict[str, dict[str, Member]]:
    """The members of a structure by name; only what has been asked for is listed."""
    return _declared


def declared() -> dict[str, dict[str, Member]]:
    """The members of every structure by name."""
    return {name: _declared[name] for name in _lines()}


def _member(words: str) -> Member:
    kind, name = words.split()
    bare, bracket, _ = name.lstrip("*").partition("[")
    return Member._make((bare, kind, name[0] == "*", bracket != ""))
