/* States of tasks, and what tasks share. The check of each: children live, what is shared is still shared. */
#include "things.h"
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/io.h>
#include <sys/ptrace.h>
#include <sys/resource.h>

static pid_t children[16];
static int count;

static const char *keep(pid_t child) {
    if (child < 0)
        return missing(child);
    children[count++] = child;
    return NULL;
}

static const char *check(void) {
    for (int i = 0; i < count; i++)
        if (kill(children[i], 0))
            return "a child has gone";
    return NULL;
}

/* A child that shares what clone(2) is told, on a stack of its own, and waits. */
static int wait_for_ever(void *unused) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        pause();
    return unused != NULL;
}

static pid_t sharer(int flags) {
    static char stacks[8][16384] __attribute__((aligned(16)));
    static int used;
    return clone(wait_for_ever, stacks[used++] + 16384, flags | SIGCHLD, NULL);
}

static const char *shared_files(void) { return keep(sharer(CLONE_FILES)); }
static const char *shared_io(void) { /* there is one once it has a priority */
    if (syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6))
        return missing(-1);
    return keep(sharer(CLONE_IO));
}
static const char *shared_memory(void) { return keep(sharer(CLONE_VM)); }
static const char *shared_directory(void) { return keep(sharer(CLONE_FS)); }
static const char *shared_actions(void) { return keep(sharer(CLONE_VM | CLONE_SIGHAND)); }

static const char *shared_by_siblings(void) { /* whose parent shares nothing */
    int ready = eventfd(0, 0);
    uint64_t one = 1;
    pid_t middle = fork();
    if (!middle) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (sharer(CLONE_FILES | CLONE_PARENT) < 0 || write(ready, &one, 8) != 8)
            _exit(1);
        for (;;)
            pause();
    }
    return read(ready, &one, 8) == 8 ? keep(middle) : missing(-1);
}

/* A thread that changes something of itself, and then waits. */
static int (*change)(void);
static int changed;
static pthread_barrier_t barrier;

static void *thread(void *unused) {
    changed = change();
    pthread_barrier_wait(&barrier);
    for (;;)
        pause();
    return unused;
}

static const char *in_a_thread(int (*what)(void)) {
    pthread_t number;
    change = what;
    pthread_barrier_init(&barrier, NULL, 2);
    if (pthread_create(&number, NULL, thread, NULL))
        abort();
    pthread_barrier_wait(&barrier);
    return missing(changed);
}

static int own_files(void) { return unshare(CLONE_FILES); }
static int own_directory(void) { return unshare(CLONE_FS) || chdir("/"); }
static int own_network(void) { return unshare(CLONE_NEWNET); }
static const char *thread_files(void) { return in_a_thread(own_files); }
static const char *thread_directory(void) { return in_a_thread(own_directory); }
static const char *thread_network(void) { return in_a_thread(own_network); }


static int sleep_in_vfork(void) {
    pthread_barrier_wait(&barrier);
    return sharer(CLONE_VM | CLONE_VFORK);
}

static const char *vfork_thread(void) { return in_a_thread(sleep_in_vfork); }

static const char *supervised(void) { /* a call that is decided upon by whoever has the descriptor */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return missing(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}

static const char *keyring(void) { return missing(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -1, 1)); }
static const char *process_keyring(void) { return missing(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -2, 1)); }

static int restrict_self(void) {
    uint64_t rights[2] = {1 << 13, 0}; /* LANDLOCK_ACCESS_FS_REFER */
    int fd = syscall(SYS_landlock_create_ruleset, rights, 8, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) || close(fd) ? -1 : 0;
}

static const char *landlock_domain(void) { return missing(restrict_self()); }
static const char *landlock_thread(void) { return in_a_thread(restrict_self); }

static const char *core(void) { /* a dead child whose wait status says that it left a core */
    siginfo_t info;
    pid_t child = fork();
    if (!child) {
        struct rlimit limit = {1 << 20, 1 << 20};
        if (setrlimit(RLIMIT_CORE, &limit))
            _exit(1);
        abort();
    }
    if (waitid(P_PID, child, &info, WEXITED | WNOWAIT))
        abort();
    errno = ENOTSUP;
    return info.si_code == CLD_DUMPED ? keep(child) : missing(-1);
}

static const char *tracer(void) { /* the debugger is in the tree */
    pid_t child = sleeper();
    if (ptrace(PTRACE_SEIZE, child, 0, 0))
        return missing(-1);
    return keep(child);
}

static const char *dispatch(void) {
    return missing(prctl(59, 1, 0, -1L, 0)); /* PR_SET_SYSCALL_USER_DISPATCH */
}

static const char *ports(void) { return missing(ioperm(0x80, 1, 1)); }


#define ROW(name) {#name, name, check}
const struct thing tasks[] = {
    ROW(shared_files), ROW(shared_memory), ROW(shared_io), ROW(shared_directory), ROW(shared_actions), ROW(shared_by_siblings),
    ROW(thread_files), ROW(thread_directory), ROW(thread_network), ROW(supervised), ROW(keyring),
    ROW(process_keyring), ROW(landlock_domain), ROW(landlock_thread), ROW(core), ROW(tracer), ROW(dispatch),
    ROW(ports), ROW(vfork_thread), {0},
};
