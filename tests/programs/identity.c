/* Who a process is and what it may do, and settings that only itself can see; the argument says which. */
#include "selfcheck.h"
#include <arpa/inet.h>
#include <asm/prctl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define BIT(n) (1u << (n))
#define MUST(call) do { if ((call) < 0) { perror(#call); exit(1); } } while (0)

static void capabilities(unsigned effective, unsigned permitted, unsigned inheritable) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{effective, permitted, inheritable}, {0}};
    MUST(syscall(SYS_capset, &header, data));
}

static const char *may(const char *wrong) { /* bind a low port, and not chown */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in low = {.sin_family = AF_INET, .sin_port = htons(81), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int bound = bind(fd, (struct sockaddr *)&low, sizeof low), given = chown("ready", 12345, 12345);
    close(fd);
    return bound || !given ? wrong : NULL;
}

/* Capabilities of every set without user 0, no new privileges, undumpable. */
static void set_bound(void) {
    MUST(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS));
    gid_t groups[] = {9, 3, 7, 1};
    MUST(syscall(SYS_setgroups, 4, groups));
    MUST(setresgid(2001, 2002, 2003));
    MUST(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT));
    MUST(setresuid(2001, 2002, 2003));
    syscall(SYS_setfsuid, 2003);
    unsigned bind_and_more = BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_KILL) | BIT(CAP_SETPCAP);
    capabilities(bind_and_more, bind_and_more, BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SETGID));
    MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
    MUST(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE));
    capabilities(BIT(CAP_NET_BIND_SERVICE), bind_and_more, BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SETGID));
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    MUST(prctl(PR_SET_DUMPABLE, 0));
}

static const char *check_bound(void) {
    uid_t u[3];
    gid_t g[3], groups[8];
    getresuid(u, u + 1, u + 2);
    getresgid(g, g + 1, g + 2);
    if (u[0] != 2001 || u[1] != 2002 || u[2] != 2003 || g[0] != 2001 || g[1] != 2002 || g[2] != 2003)
        return "ids";
    if (syscall(SYS_setfsuid, -1) != 2003 || getgroups(8, groups) != 4)
        return "filesystem user, groups";
    if (prctl(PR_GET_SECUREBITS) != (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE))
        return "secure bits";
    if (prctl(PR_CAPBSET_READ, CAP_SYS_BOOT) || !prctl(PR_CAPBSET_READ, CAP_CHOWN))
        return "bounding set";
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_BIND_SERVICE, 0, 0) != 1)
        return "ambient set";
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0)
        return "no new privileges, dumpable";
    return may("what the capabilities allow");
}

/* Settings of a process and of a thread that no file of /proc tells. */
static void set_odd(void) {
    MUST(prctl(65, 1, 0, 0, 0)); /* PR_SET_MDWE */
    MUST(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
    MUST(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6));
    MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x123456789000));
    MUST(prctl(PR_SET_TIMERSLACK, 123456));
    prctl(57, 1, 0, 0, 0); /* PR_SET_IO_FLUSHER: CAP_SYS_RESOURCE */
    prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE, 0, 0);
    MUST(setpriority(PRIO_PROCESS, 0, 5));
}

static long before[3];

static void odd_state(long found[3]) {
    found[0] = prctl(58, 0, 0, 0, 0); /* PR_GET_IO_FLUSHER */
    found[1] = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0);
    found[2] = sched_getcpu() >= 0;
}

static const char *check_odd(void) {
    unsigned long base = 0;
    long now[3];
    odd_state(now);
    if (!before[2])
        memcpy(before, now, sizeof now);
    if (memcmp(before, now, sizeof now))
        return "IO flusher or speculation";
    if (mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        return "deny-write-execute";
    if (prctl(PR_MCE_KILL_GET, 0, 0, 0, 0) != PR_MCE_KILL_EARLY)
        return "memory-failure policy";
    if (syscall(SYS_ioprio_get, 1, 0) != (2 << 13 | 6) || getpriority(PRIO_PROCESS, 0) != 5)
        return "IO priority, nice";
    if (syscall(SYS_arch_prctl, ARCH_GET_GS, &base) || base != 0x123456789000)
        return "base of GS";
    return prctl(PR_GET_TIMERSLACK) == 123456 ? NULL : "timer slack";
}

/* A calculation in the x87 and SSE units, with control words of their own: it goes round until it is told to end. */
static volatile int ask_x87, said_x87;
static double kept[2];

static void *calculate(void *unused) {
    unsigned short word = 0x0c7f, found; /* towards zero */
    unsigned mxcsr = 0x5f80, found_mxcsr; /* upwards */
    for (;;) {
        double top, below;
        asm volatile("fninit\n\tfldcw %[word]\n\tldmxcsr %[mxcsr]\n\tfldl2e\n\tfldpi\n"
                     "1:\tcmpl $0, %[ask]\n\tje 1b\n\t"
                     "fnstcw %[found]\n\tstmxcsr %[now]\n\tfstpl %[top]\n\tfstpl %[below]\n\tfninit"
                     : [top] "=m"(top), [below] "=m"(below), [found] "=m"(found), [now] "=m"(found_mxcsr)
                     : [word] "m"(word), [mxcsr] "m"(mxcsr), [ask] "m"(ask_x87)
                     : "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
        unsigned usual = 0x1f80;
        asm volatile("ldmxcsr %0" : : "m"(usual));
        said_x87 = top == kept[0] && below == kept[1] && found == word && (found_mxcsr & ~0x3fu) == mxcsr ? 1 : -1;
        ask_x87 = 0;
    }
    return unused;
}

static void set_x87(void) {
    pthread_t thread;
    kept[0] = 0x1.921fb54442d18p+1; /* pi and log2(e), rounded towards zero */
    kept[1] = 0x1.71547652b82fep+0;
    pthread_create(&thread, NULL, calculate, NULL);
}

static const char *check_x87(void) {
    said_x87 = 0;
    ask_x87 = 1;
    for (int tries = 0; !said_x87; tries++) {
        if (tries > 20000)
            return "the calculation has no end";
        usleep(1000);
    }
    return said_x87 > 0 ? NULL : "a calculation, or a control word";
}

/* A thread with a deadline, one with real-time priority that is reset at fork. */
static volatile int told, policies[2];

static void *scheduled(void *which) {
    struct { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period; }
        attr = {48, 6, 0, 0, 0, 2000000, 50000000, 100000000};
    struct sched_param one = {.sched_priority = 7};
    int index = (int)(long)which;
    if (index ? sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &one) : (int)syscall(SYS_sched_setattr, 0, &attr, 0))
        _exit(77); /* not to be had here */
    __atomic_add_fetch(&told, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        policies[index] = sched_getscheduler(0);
        struct timespec pause = {0, 20000000};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void set_scheduled(void) {
    pthread_t thread;
    for (long n = 0; n < 2; n++)
        pthread_create(&thread, NULL, scheduled, (void *)n);
    while (told < 2)
        usleep(1000);
}

static const char *check_scheduled(void) {
    policies[0] = policies[1] = -1;
    for (int tries = 0; policies[0] < 0 || policies[1] < 0; tries++) {
        if (tries > 20000)
            return "a thread does not run";
        usleep(1000);
    }
    return policies[0] == 6 && policies[1] == (SCHED_RR | SCHED_RESET_ON_FORK) ? NULL : "a policy";
}

static const struct { const char *name; void (*set)(void); const char *(*check)(void); } all[] = {
    {"bound", set_bound, check_bound}, {"odd", set_odd, check_odd}, {"scheduled", set_scheduled, check_scheduled}, {"x87", set_x87, check_x87},
};

int main(int argc, char **argv) {
    block_usr1();
    for (int n = 0; n < 4; n++)
        if (argc > 1 && !strcmp(argv[1], all[n].name)) {
            if (n == 0) /* it cannot write into the directory afterwards */
                MUST(chmod(".", 0777));
            all[n].set();
            serve(all[n].check);
        }
    return 2;
}
