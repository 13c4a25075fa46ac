/* What threads and processes have: contended locks, robust and priority-inheriting ones, a restartable sequence, memory
 * barriers, limits below what is in use, a dead child of another user. Each check uses it. */
#include "selfcheck.h"
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define WAITERS 5

/* Threads blocked on a mutex that the main thread holds: none slips through, and all get their turn. */
static pthread_mutex_t contended = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t inheriting;
static int turns, in, slips;
static pthread_mutex_t *const both[] = {&contended, &inheriting};

static void *wait_for_turn(void *argument) {
    pthread_mutex_t *lock = argument;
    for (;;) {
        pthread_mutex_lock(lock);
        slips += in++ != 0;
        __atomic_add_fetch(&turns, 1, __ATOMIC_SEQ_CST);
        in--;
        pthread_mutex_unlock(lock);
        while (__atomic_load_n(&turns, __ATOMIC_SEQ_CST)) /* until the main thread holds it again */
            usleep(1000);
    }
    return NULL;
}

/* Who waits for the word in the kernel, sleeping: one more look than a moment ago makes no difference. */
static void until_asleep(int *word) {
    while (!(__atomic_load_n(word, __ATOMIC_SEQ_CST) & (int)FUTEX_WAITERS))
        usleep(1000);
}

static const char *check_turns(void) {
    for (int n = 0; n < 2; n++) {
        if (turns || slips)
            return "a waiter slipped through";
        in = 0;
        pthread_mutex_unlock(both[n]);
        for (int tries = 0; __atomic_load_n(&turns, __ATOMIC_SEQ_CST) < WAITERS; tries++) {
            if (tries > 20000)
                return n ? "a waiter with priority inheritance has no turn" : "a waiter has no turn";
            usleep(1000);
        }
        if (pthread_mutex_lock(both[n]) || slips)
            return "two at once";
        __atomic_store_n(&turns, 0, __ATOMIC_SEQ_CST);
        usleep(20000); /* so that they are likely to sleep at the dump; it matters to nobody else */
    }
    return NULL;
}

/* A child dies with robust locks held: the next owner is told. One of them inherits priority. */
struct robust { pthread_mutex_t lock[2]; } *robust;
static int orders[2];
static pid_t owner;

static void make_robust(void) {
    pthread_mutexattr_t a;
    robust = mmap(NULL, sizeof *robust, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int n = 0; n < 2; n++) {
        pthread_mutexattr_init(&a);
        pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
        pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setprotocol(&a, n ? PTHREAD_PRIO_INHERIT : PTHREAD_PRIO_NONE);
        if (pthread_mutex_init(&robust->lock[n], &a))
            abort();
    }
}

static int limited;

static void may_fork(rlim_t soft) { /* a user who is not root has more processes than the limit that is to be kept */
    struct rlimit limit;
    getrlimit(RLIMIT_NPROC, &limit);
    limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
    if (limited && setrlimit(RLIMIT_NPROC, &limit))
        abort();
}

static void hold_robust(void) {
    int ready[2];
    char byte;
    if (pipe2(ready, O_CLOEXEC) || pipe2(orders, O_CLOEXEC))
        abort();
    may_fork(RLIM_INFINITY);
    owner = fork();
    if (owner)
        may_fork(1);
    if (!owner) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(orders[1]);
        if (pthread_mutex_lock(&robust->lock[0]) || pthread_mutex_lock(&robust->lock[1]) || write(ready[1], "", 1) != 1)
            abort();
        _exit(read(orders[0], &byte, 1) != 1);
    }
    close(orders[0]);
    if (read(ready[0], &byte, 1) != 1)
        abort();
    close(ready[0]);
    close(ready[1]);
}

static const char *check_robust(void) {
    int status;
    if (pthread_mutex_trylock(&robust->lock[0]) != EBUSY || pthread_mutex_trylock(&robust->lock[1]) != EBUSY)
        return "a lock is not held";
    if (write(orders[1], "", 1) != 1 || waitpid(owner, &status, 0) != owner || status)
        return "the owner is gone";
    close(orders[1]);
    for (int n = 0; n < 2; n++)
        if (pthread_mutex_lock(&robust->lock[n]) != EOWNERDEAD || pthread_mutex_consistent(&robust->lock[n]) ||
            pthread_mutex_unlock(&robust->lock[n]))
            return n ? "the next owner of an inheriting lock is not told" : "the next owner is not told";
    hold_robust();
    return NULL;
}

/* Limits below what is in use. */
static const struct { int what; rlim_t soft; } limits[] = {
    {RLIMIT_NOFILE, 20}, {RLIMIT_FSIZE, 4096}, {RLIMIT_NPROC, 1}, {RLIMIT_STACK, 65536}, {RLIMIT_SIGPENDING, 1},
    {RLIMIT_MEMLOCK, 0}, {RLIMIT_MSGQUEUE, 0},
};
static char *locked;

static void exceed_limits(void) {
    int high = fcntl(0, F_DUPFD_CLOEXEC, 200);
    locked = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (high < 0 || locked == MAP_FAILED)
        abort();
    mlock(locked, 16384);
    for (unsigned n = 0; n < sizeof limits / sizeof *limits; n++) {
        struct rlimit limit;
        getrlimit(limits[n].what, &limit);
        limit.rlim_cur = limits[n].soft;
        if (setrlimit(limits[n].what, &limit))
            abort();
    }
    limited = 1;
}

static const char *check_limits(void) {
    struct rlimit limit;
    for (unsigned n = 0; n < sizeof limits / sizeof *limits; n++)
        if (getrlimit(limits[n].what, &limit) || limit.rlim_cur != limits[n].soft)
            return "a limit";
    return fcntl(200, F_GETFD) < 0 ? "the descriptor above the limit" : NULL;
}

/* A dead child that had another user. */
static pid_t dead;

static void leave_dead(void) {
    siginfo_t info;
    dead = fork();
    if (!dead) {
        if (getuid() == 0 && (syscall(SYS_setresgid, 1002, 1002, 1002) || syscall(SYS_setresuid, 1001, 1001, 1001)))
            abort();
        _exit(44);
    }
    waitid(P_PID, dead, &info, WEXITED | WNOWAIT);
}

static const char *check_dead(void) {
    siginfo_t info;
    if (waitid(P_PID, dead, &info, WEXITED | WNOWAIT | WNOHANG) || info.si_pid != dead || info.si_status != 44)
        return "the dead child";
    return info.si_uid == (getuid() ? getuid() : 1001) ? NULL : "the user of the dead child";
}

/* A thread that spins in a restartable sequence: each time it is interrupted it is sent to the abort handler. */
static const char *check_barrier(void) {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) ||
                   syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) ||
                   syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0)
               ? "memory barrier"
               : NULL;
}

struct rseq_area { uint32_t cpu_id_start, cpu_id; uint64_t section; uint32_t flags, node, mm_cid; } __attribute__((aligned(32)));
struct rseq_section { uint32_t version, flags; uint64_t start, length, abort; } __attribute__((aligned(32)));
extern const ptrdiff_t __rseq_offset;
static volatile int spinning, aborted;
static volatile unsigned long inside;

static void *spin(void *unused) {
    struct rseq_area *area = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
    for (;;) {
        spinning = 1;
        asm volatile goto(
            ".pushsection .data.rel.sections, \"aw\"\n\t.balign 32\n"
            "9:\t.long 0, 0\n\t.quad 1f, 2f - 1f, 4f\n\t.popsection\n\t"
            "leaq 9b(%%rip), %%rax\n\tmovq %%rax, %0\n"
            "1:\tincq %1\n\tjmp 1b\n"
            "2:\n\tnop\n\t"
            ".pushsection .text.aborts, \"ax\"\n\t.long 0x53053053\n"
            "4:\tjmp %l[abort]\n\t.popsection\n"
            : : "m"(area->section), "m"(inside) : "rax", "memory", "cc" : abort);
    abort:
        aborted++;
        usleep(1000);
    }
    return unused;
}

static const char *check_sequence(void) {
    int before = aborted;
    for (int tries = 0; aborted == before; tries++) { /* the next interruption comes by itself */
        if (tries > 20000)
            return "the thread is in no sequence";
        usleep(1000);
    }
    return NULL;
}

static const char *check(void) {
    const char *(*const all[])(void) = {check_turns, check_robust, check_limits, check_dead, check_barrier, check_sequence};
    for (unsigned n = 0; n < sizeof all / sizeof *all; n++) {
        const char *wrong = all[n]();
        if (wrong)
            return wrong;
    }
    return NULL;
}

int main(void) {
    pthread_t thread;
    pthread_mutexattr_t inherit;
    block_usr1();
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
    pthread_mutexattr_init(&inherit);
    pthread_mutexattr_setprotocol(&inherit, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&inheriting, &inherit);
    leave_dead();
    make_robust();
    hold_robust();
    for (int n = 0; n < 2; n++) {
        pthread_mutex_lock(both[n]);
        for (int waiter = 0; waiter < WAITERS; waiter++)
            if (pthread_create(&thread, NULL, wait_for_turn, both[n]))
                abort();
    }
    until_asleep(&inheriting.__data.__lock);
    pthread_create(&thread, NULL, spin, NULL);
    while (!spinning)
        usleep(1000);
    exceed_limits();
    serve(check);
}
