"""What the arguments of each system call are, from the call's page in section 2 of the manual.

A kind is a word that `replant.abi.names` knows how to show: ``fd``, ``address``, ``prot``, ``size``, …
"""

from __future__ import annotations

_TABLE = """
    read fd address size | write fd address size | pread64 fd address size size | pwrite64 fd address size size
    preadv fd address count size | pwritev fd address count size | readv fd address count | writev fd address count
    open path open mode | openat at path open mode | openat2 at path address size | close fd
    close_range fd fd close_range | dup fd | dup2 fd fd | dup3 fd fd open | fcntl fd fcntl number
    lseek fd offset whence | ftruncate fd size | fallocate fd mode offset size | ioctl fd hex address
    pipe2 address open | stat path address | fstat fd address | newfstatat at path address at_flags
    readlinkat at path address size | mmap address size prot map fd hex | mprotect address size prot
    munmap address size | madvise address size madvise | mremap address size size mremap address | brk address
    mlock2 address size number | msync address size number | mincore address size address | memfd_create path memfd
    userfaultfd open | process_vm_readv pid address count | rt_sigaction signal address address size
    rt_sigprocmask sigmask address address size | rt_sigreturn | sigaltstack address address | kill pid signal
    tkill pid signal | tgkill pid pid signal | rt_sigqueueinfo pid signal address
    rt_tgsigqueueinfo pid pid signal address | signalfd4 fd address size open | fork | vfork
    clone clone address address address address | clone3 address size | wait4 pid address number address
    exit number | exit_group number | setsid | setpgid pid pid | getpgid pid | getsid pid | getpid | gettid
    set_tid_address address | set_robust_list address size | get_robust_list pid address address
    rseq address size number hex | prctl prctl hex hex hex hex | arch_prctl arch_prctl address | personality hex
    pidfd_open pid hex | pidfd_getfd fd fd number | pidfd_send_signal fd signal address number
    kcmp pid pid number hex hex | futex address number number address address number | nanosleep address address
    getitimer itimer address | setitimer itimer address address | timer_create clock address address
    timer_settime number hex address address | timer_gettime number address | timer_delete number
    timerfd_create clock open | timerfd_settime fd hex address address | eventfd2 number open | epoll_create1 open
    epoll_ctl fd epoll fd address | inotify_init1 open | inotify_add_watch fd path hex | socket family socket number
    socketpair family socket number address | bind fd address size | connect fd address size | listen fd number
    accept4 fd address address socket | shutdown fd number | sendto fd address size hex address size
    recvfrom fd address size hex address address | sendmsg fd address hex | recvmsg fd address hex
    setsockopt fd number number address size | getsockopt fd number number address address | chdir path | fchdir fd
    chroot path | umask mode | setpriority number pid number | sched_setscheduler pid number address
    sched_setaffinity pid size address | sched_setattr pid address number | prlimit64 pid rlimit address address
    setrlimit rlimit address | setresuid id id id | setresgid id id id | setgroups count address | setfsuid id
    setfsgid id | capset address address | capget address address | seccomp number hex address | setns fd clone
    unshare clone | shmget key size hex | shmat number address hex | shmdt address | semget key number hex
    semop number address count | msgget key hex | msgsnd number address size hex | mkdirat at path mode
    mknodat at path mode hex | unlinkat at path at_flags | linkat at path at path at_flags | symlinkat path at path
    renameat2 at path at path hex | fchmod fd mode | fchown fd id id | utimensat at path address at_flags
    mount path path path hex address | umount2 path hex | vmsplice fd address count hex
    splice fd address fd address size hex | tee fd fd size hex | mlock address size | munlock address size
    sendfile fd fd address size | getrandom address size hex
"""

SPECIAL = {0xFFFFFFFF: "trap", 0xFFFFFFFE: "xrstor", 0xFFFFFFFD: "jump", 0xFFFFFFFC: "clone"}
"""Numbers of what the interpreter of a batch does itself."""

_OWN = {"trap": ("signal",), "xrstor": ("address", "hex"), "jump": ("address",)}


def read() -> dict[str, tuple[str, ...]]:
    """The kinds of each call's arguments by the call's name."""
    entries = [entry.split() for entry in _TABLE.replace("\n", "|").split("|")]
    return _OWN | {words[0]: tuple(words[1:]) for words in entries if words}
