/* Many threads, three of each sort: a sort differs from the others in one thing that a thread has of its own. What this
 * host does not let a thread change stays as it is. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012

static atomic_int there, last;
static const char *wanted_apart;

static int sleeper(void *unused) {
    for (;;)
        pause();
    return unused != NULL;
}

static void plain(void) {}
static void name(void) { prctl(PR_SET_NAME, "another", 0, 0, 0); }
static void slack(void) { prctl(PR_SET_TIMERSLACK, 77777, 0, 0, 0); }
static void death(void) { prctl(PR_SET_PDEATHSIG, SIGWINCH, 0, 0, 0); }
static void persona(void) { personality(ADDR_NO_RANDOMIZE); }
static void tsc(void) { prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0); }
static void cpuid(void) { syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0); }
static void nnp(void) { prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }
static void bits(void) { prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS, 0, 0, 0); }
static void fsuid(void) { syscall(SYS_setfsuid, 1234); }
static void groups(void) { syscall(SYS_setgroups, 2, (gid_t[]){7, 8}); }
static void memory(void) { prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0); }
static void flusher(void) { prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); }
static void speculation(void) {
    prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE, 0, 0);
}
static void policy(void) { syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, (unsigned long[]){1}, 64); }
static void nicer(void) { setpriority(PRIO_PROCESS, syscall(SYS_gettid), 5); }
static void batch(void) { sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}); }
static void io(void) { syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 5); }
static void clears(void) { syscall(SYS_set_tid_address, 0); }

static void one_cpu(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void stack(void) {
    static char room[65536];
    sigaltstack(&(stack_t){.ss_sp = room, .ss_size = sizeof room}, NULL);
}

static void fewer(void) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    syscall(SYS_capget, &head, data);
    data[0].effective &= ~(1U << CAP_CHOWN);
    syscall(SYS_capset, &head, data);
}

static void filtered(void) {
    struct sock_filter all[] = {{BPF_RET, 0, 0, SECCOMP_RET_ALLOW}};
    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &(struct sock_fprog){1, all});
}

static void (*const sorts[])(void) = {plain, name,   slack, death, persona, tsc,     cpuid,   nnp,   bits,    fsuid, groups, memory,
                                      flusher, speculation, policy, nicer, batch, io, clears, one_cpu, stack, fewer, filtered};

/* In the last thread: what the argument names is no longer shared with the others; only it shares its IO context. */
static void apart(const char *what) {
    int flags = !strcmp(what, "files") ? CLONE_FILES : !strcmp(what, "fs") ? CLONE_FS : CLONE_NEWUTS;
    static char room[65536];
    if (strcmp(what, "io")) {
        if (unshare(flags))
            abort();
    } else {
        io();
        int shared = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_IO;
        last = clone(sleeper, room + sizeof room, shared, NULL);
    }
}

static void *thread(void *change) {
    if (change) {
        (*(void (*const *)(void))change)();
    } else {
        last = syscall(SYS_gettid);
        apart(wanted_apart);
    }
    there++;
    for (;;)
        pause();
    return NULL;
}

int main(int argc, char **argv) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    int wanted = 3 * sizeof sorts / sizeof *sorts;
    pthread_t id;
    for (int n = 0; n < wanted; n++)
        if (pthread_create(&id, &small, thread, argc > 1 ? (void *)&sorts[0] : (void *)&sorts[n / 3]))
            abort();
    if (argc > 1) {
        wanted_apart = argv[1];
        wanted += !pthread_create(&id, &small, thread, NULL);
    }
    while (there < wanted)
        sched_yield();
    FILE *ready = fopen("ready.new", "w");
    fprintf(ready, "%d", last);
    fclose(ready);
    rename("ready.new", "ready");
    for (;;)
        pause();
}
