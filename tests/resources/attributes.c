/* A child with an attribute of every kind: the leader sits in a handler on its alternate stack, a second thread has other
 * credentials, signals and scheduling. Each checks itself; what only others can see, the test compares. The parent only
 * passes the question on: its end is what the parent-death signal of the child waits for. */
#include "../programs/selfcheck.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#define MINE (SIGRTMIN + 1)
#define TIMED (SIGRTMIN + 2)
#define OVERRUN (SIGRTMIN + 3)
#define SIZE (64 * 1024)
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static char stacks[2][SIZE];
static timer_t periodic, overrun;
static sem_t asked, answered;
static const char *worker_says;

static sigset_t only(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

static void limit_queues(rlim_t soft) {
    setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){soft, 10000});
}

/* Queue 1, 2, 3 to the process or to the calling thread; the limit is lower than that afterwards. */
static void queue(int to_thread) {
    limit_queues(10000);
    for (int n = 1; n <= 3; n++) {
        union sigval value = {.sival_int = n};
        if (to_thread ? pthread_sigqueue(pthread_self(), MINE, value) : sigqueue(getpid(), MINE, value))
            abort();
    }
    limit_queues(1);
}

/* Whether 1, 2, 3 are pending, in this order, from this very process. They are taken. */
static int queued(void) {
    sigset_t set = only(MINE);
    siginfo_t info;
    for (int n = 1; n <= 3; n++)
        if (sigtimedwait(&set, &info, &(struct timespec){0}) != MINE || info.si_value.sival_int != n ||
            info.si_code != SI_QUEUE || info.si_pid != getpid())
            return 0;
    return 1;
}

static const char *on_stack(const char *stack, int flags) {
    stack_t now;
    sigaltstack(NULL, &now);
    return now.ss_sp == stack && now.ss_size == SIZE && now.ss_flags == flags ? NULL : "alternate stack";
}

static const char *check_worker(void) {
    if (!queued())
        return "signals pending for the second thread";
    queue(1);
    if (prctl(PR_GET_TIMERSLACK) != 77777)
        return "timer slack";
    int signal;
    prctl(PR_GET_PDEATHSIG, &signal);
    if (signal != SIGWINCH)
        return "parent-death signal";
    return on_stack(stacks[1], (int)SS_AUTODISARM);
}

static void *worker(void *unused) {
    (void)unused;
    stack_t mine = {.ss_sp = stacks[1], .ss_size = SIZE, .ss_flags = (int)SS_AUTODISARM};
    sigaltstack(&mine, NULL);
    prctl(PR_SET_NAME, "second)\n thread");
    prctl(PR_SET_TIMERSLACK, 77777);
    syscall(SYS_setpriority, PRIO_PROCESS, 0, 9);
    struct sched_param parameter = {0};
    sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &parameter);
    queue(1);
    /* raw calls: the C library would change all threads */
    gid_t groups[] = {7, 5, 6};
    syscall(SYS_setgroups, 3, groups);
    syscall(SYS_setresgid, 1001, 1002, 1003);
    prctl(PR_SET_KEEPCAPS, 1);
    syscall(SYS_setresuid, 1001, 1002, 1003);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGWINCH);
    while (sem_post(&answered) == 0) {
        while (sem_wait(&asked))
            ;
        worker_says = check_worker();
    }
    return NULL;
}

static const char *check_timers(void) {
    struct itimerval it;
    getitimer(ITIMER_REAL, &it);
    if (it.it_value.tv_sec || it.it_value.tv_usec || it.it_interval.tv_sec != 900)
        return "expired interval timer";
    getitimer(ITIMER_VIRTUAL, &it);
    if (it.it_interval.tv_sec != 7 || it.it_value.tv_sec < 200 || it.it_value.tv_sec > 300)
        return "virtual interval timer";
    struct itimerspec spec;
    if (timer_gettime(periodic, &spec) || spec.it_interval.tv_sec != 10 || spec.it_value.tv_sec < 300)
        return "periodic timer";
    if (timer_getoverrun(overrun) != 3)
        return "overrun count";
    return NULL;
}

static const char *check(void) {
    if (!queued())
        return "signals pending for the process";
    queue(0);
    const char *wrong = check_timers();
    if (wrong)
        return wrong;
    struct sigaction action;
    sigaction(SIGTRAP, NULL, &action);
    if (!(action.sa_flags & SA_RESETHAND) || !sigismember(&action.sa_mask, SIGPROF))
        return "signal action";
    if (syscall(SYS_membarrier, 1 << 3, 0, 0))
        return "memory barrier";
    sem_post(&asked);
    while (sem_wait(&answered))
        ;
    return worker_says ? worker_says : on_stack(stacks[0], SS_ONSTACK);
}

static void start_timers(void) {
    sigset_t set = only(OVERRUN);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = TIMED, .sigev_value.sival_int = 99};
    timer_t gap;
    timer_create(CLOCK_MONOTONIC, NULL, &gap);
    timer_create(CLOCK_BOOTTIME, &event, &periodic);
    event.sigev_signo = OVERRUN;
    timer_create(CLOCK_MONOTONIC, &event, &overrun);
    timer_delete(gap);
    timer_settime(periodic, 0, &(struct itimerspec){{10, 0}, {600, 0}}, NULL);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct itimerspec past = {{20, 0}, {now.tv_sec - 61, now.tv_nsec}}; /* 3 periods of 20 s missed */
    timer_settime(overrun, TIMER_ABSTIME, &past, NULL);
    sigwaitinfo(&set, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{900, 0}, {0, 1}}, NULL);
    setitimer(ITIMER_VIRTUAL, &(struct itimerval){{7, 0}, {300, 0}}, NULL);
}

static void lower_limits(void) {
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, 200});
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    setrlimit(RLIMIT_NICE, &(struct rlimit){0, 0});
}

static void live(int signal) {
    (void)signal;
    serve(check);
}

static void pass_on(pid_t child) {
    sigset_t set = only(SIGUSR1);
    int number;
    for (;;)
        if (sigwait(&set, &number) == 0)
            kill(child, SIGUSR1);
}

int main(void) {
    sigset_t all;
    block_usr1();
    pid_t child = fork();
    if (child)
        pass_on(child);
    sigfillset(&all);
    sigdelset(&all, SIGCONT);
    sigprocmask(SIG_SETMASK, &all, NULL);
    struct sigaction trap = {.sa_handler = live, .sa_flags = SA_RESETHAND, .sa_mask = only(SIGPROF)};
    sigaction(SIGTRAP, &trap, NULL);
    signal(SIGHUP, SIG_IGN);
    start_timers();
    queue(0);
    umask(027);
    personality(ADDR_NO_RANDOMIZE);
    prctl(PR_SET_NAME, "leader");
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    syscall(SYS_membarrier, 1 << 4, 0, 0);
    setpriority(PRIO_PROCESS, 0, 3);
    pthread_t thread;
    pthread_create(&thread, NULL, worker, NULL);
    while (sem_wait(&answered))
        ;
    lower_limits();
    prctl(PR_SET_DUMPABLE, 1);
    stack_t mine = {.ss_sp = stacks[0], .ss_size = SIZE};
    sigaltstack(&mine, NULL);
    struct sigaction action = {.sa_handler = live, .sa_flags = SA_ONSTACK, .sa_mask = all};
    sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR2);
    sigset_t set = only(SIGUSR2);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    return 1;
}
