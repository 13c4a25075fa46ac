/* Sandboxes of every sort: chains of filters that differ by thread and have common beginnings, strict mode, and a filter
 * that allows next to nothing. A filter denies one call with an error number of its own. If there is a file "last", the
 * check goes to the end: a filter is laid upon all threads at once, and what is forbidden kills. */
#include "../programs/selfcheck.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define THREADS 4

static pthread_barrier_t barrier;
static volatile int sync_all;
static const char *wrong[THREADS];

static int install(int call, int error, int flags) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

/* The chain of each thread: a and b are common to all, thread 1 has c besides, thread 2 has c and d. Thread 3 has an e.
 * The later filter decides where both deny the same call. */
static const struct { int call, errors[THREADS]; } table[] = {
    {SYS_getpriority, {71, 71, 71, 71}}, {SYS_sched_getscheduler, {72, 72, 72, 72}}, {SYS_times, {0, 73, 74, 0}},
    {SYS_getrlimit, {0, 0, 0, 75}},
};

static const char *chain_holds(int thread) {
    static char text[THREADS][80];
    for (unsigned n = 0; n < sizeof table / sizeof *table; n++) {
        char room[256];
        errno = 0;
        long result = n == 0 || n == 1 ? syscall(table[n].call, 0, 0) : n == 2 ? syscall(table[n].call, room)
                                       : syscall(table[n].call, RLIMIT_CORE, room);
        int expected = table[n].errors[thread];
        if (expected ? result != -1 || errno != expected : result == -1) {
            snprintf(text[thread], sizeof *text, "thread %d: row %u gave %ld, errno %d", thread, n, result, errno);
            return text[thread];
        }
    }
    return NULL;
}

/* Before a dump and after it: the filter is on, and kept by who comes out of the check alive. */
static const char *all_at_once(void) {
    if (install(SYS_sysinfo, 76, SECCOMP_FILTER_FLAG_TSYNC))
        return "the filter cannot be laid upon all threads: their chains have no common beginning";
    return NULL;
}

static void *run(void *argument);

static void start(long thread) {
    pthread_t number;
    if (pthread_create(&number, NULL, run, (void *)thread))
        abort();
}

static void loop(int thread) {
    for (;;) {
        pthread_barrier_wait(&barrier);
        wrong[thread] = chain_holds(thread);
        pthread_barrier_wait(&barrier);
        if (thread == 2 && sync_all)
            wrong[thread] = all_at_once();
        pthread_barrier_wait(&barrier);
    }
}

static int with_e; /* thread 3 has a chain that no other begins with; without it, all are in one line */

static void *run(void *argument) {
    int thread = (int)(long)argument;
    if (thread == 1) {
        if (install(SYS_times, 73, SECCOMP_FILTER_FLAG_LOG))
            abort();
        start(2);
    }
    if (thread == 2 && install(SYS_times, 74, 0))
        abort();
    if (thread == 3 && with_e && install(SYS_getrlimit, 75, 0))
        abort();
    pthread_barrier_wait(&barrier);
    loop(thread);
    return NULL;
}

static const char *check_threads(void) {
    pthread_barrier_wait(&barrier);
    wrong[0] = chain_holds(0);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    for (int n = 0; n < THREADS; n++)
        if (wrong[n] && (n != 3 || with_e || !strstr(wrong[n], "row 3")))
            return wrong[n];
    struct { char room[512]; } info;
    if (sync_all && !(syscall(SYS_sysinfo, &info) == -1 && errno == 76))
        return "a filter laid upon all threads is not on the first";
    return NULL;
}

/* Children that may do next to nothing: they give back each byte, but for an x. */
struct child { pid_t pid; int to, from; } strict, narrow;

static void echo(int from, int to) {
    char byte;
    while (syscall(SYS_read, from, &byte, 1) == 1) {
        if (byte == 'x')
            syscall(SYS_getpid);
        syscall(SYS_write, to, &byte, 1);
    }
    syscall(SYS_exit, 0);
}

static int only_read_and_write(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {5, code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static int only_strictly(void) { return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT); }

static struct child locked(int (*lock)(void)) {
    int there[2], back[2];
    if (pipe2(there, O_CLOEXEC) || pipe2(back, O_CLOEXEC))
        abort();
    pid_t pid = fork();
    if (!pid) {
        close(there[1]);
        close(back[0]);
        struct rlimit none = {0, 0};
        if (setrlimit(RLIMIT_CORE, &none) || lock())
            _exit(1);
        echo(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    return (struct child){pid, there[1], back[0]};
}

static const char *check_child(struct child c, const char *gone, int signal) {
    char byte = 'y';
    int status;
    if (write(c.to, "y", 1) != 1 || read(c.from, &byte, 1) != 1 || byte != 'y')
        return gone;
    if (!sync_all)
        return NULL;
    if (write(c.to, "x", 1) != 1 || waitpid(c.pid, &status, 0) != c.pid)
        return gone;
    return WIFSIGNALED(status) && WTERMSIG(status) == signal ? NULL : "what is forbidden did not kill";
}

static const char *check(void) {
    const char *found;
    sync_all = access("last", F_OK) == 0;
    if ((found = check_threads()) || (found = check_child(strict, "the child in strict mode is gone", SIGKILL)))
        return found;
    return check_child(narrow, "the child that may read and write is gone", SIGSYS);
}

int main(int argc, char **argv) {
    block_usr1();
    signal(SIGPIPE, SIG_IGN);
    with_e = argc > 1 && argv[1][0] == 'e';
    strict = locked(only_strictly);
    pthread_barrier_init(&barrier, NULL, THREADS);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        abort();
    narrow = locked(only_read_and_write);
    if (install(SYS_getpriority, 71, 0) || install(SYS_sched_getscheduler, 72, 0))
        abort();
    start(1);
    start(3);
    pthread_barrier_wait(&barrier);
    serve(check);
}
