/* Registers, timers and signals in flight: threads keep patterns in vector and general registers and compare them in a
 * tight loop; an interval timer and a POSIX timer tick; signals are blocked, pending and queued with values. */
#include "selfcheck.h"
#include <immintrin.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>

#define SPINNERS 3
#define QUEUED 5

static atomic_long spins[SPINNERS], wrong_registers;
static atomic_long alarms, ticks;
static timer_t posix_timer;

__attribute__((target("avx"))) static void *spin(void *argument) {
    long index = (long)argument;
    double values[4] = {index + 0.25, index + 0.5, index + 0.75, index + 1.25};
    __m256d wanted = _mm256_loadu_pd(values);
    register __m256d kept asm("ymm9") = wanted;
    register long general asm("r13") = 0x123456789abcdef0L + index;
    for (;;) {
        /* A thousand rounds in which the values live in registers only. */
        for (int round = 0; round < 1000; round++)
            asm volatile("" : "+x"(kept), "+r"(general));
        double now[4];
        _mm256_storeu_pd(now, kept);
        if (memcmp(now, values, sizeof now) || general != 0x123456789abcdef0L + index)
            atomic_fetch_add(&wrong_registers, 1);
        atomic_fetch_add(&spins[index], 1);
    }
    return NULL;
}

static void *spin_plain(void *argument) {
    long index = (long)argument;
    for (;;)
        atomic_fetch_add(&spins[index], 1);
    return NULL;
}

static void on_alarm(int number) {
    (void)number;
    atomic_fetch_add(&alarms, 1);
}

static void on_tick(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    if (info->si_code == SI_TIMER && info->si_value.sival_int == 4711)
        atomic_fetch_add(&ticks, 1);
}

static void queue_signals(void) {
    union sigval value;
    for (int n = 0; n < QUEUED; n++) {
        value.sival_int = 100 + n;
        if (sigqueue(getpid(), SIGRTMIN + 3, value))
            abort();
    }
    pthread_kill(pthread_self(), SIGUSR2);
}

static const char *check_signals(void) {
    sigset_t pending, wanted;
    siginfo_t info;
    struct timespec none = {0, 0};
    sigpending(&pending);
    if (!sigismember(&pending, SIGUSR2) || !sigismember(&pending, SIGRTMIN + 3))
        return "a pending signal is lost";
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGRTMIN + 3);
    for (int n = 0; n < QUEUED; n++) {
        if (sigtimedwait(&wanted, &info, &none) != SIGRTMIN + 3)
            return "a queued signal is lost";
        if (info.si_code != SI_QUEUE || info.si_value.sival_int != 100 + n || info.si_pid != getpid())
            return "a queued signal has another value, or came in another order";
    }
    if (sigtimedwait(&wanted, &info, &none) >= 0)
        return "a queued signal came twice";
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR2);
    if (sigtimedwait(&wanted, &info, &none) != SIGUSR2 || info.si_pid != getpid())
        return "the thread's own signal is lost";
    queue_signals();
    return NULL;
}

static const char *check_motion(void) {
    long spun[SPINNERS], rang = alarms, ticked = ticks;
    struct timespec pause = {0, 1000000};
    for (int n = 0; n < SPINNERS; n++)
        spun[n] = spins[n];
    for (int round = 0; round < 20000; round++) {
        int all = alarms > rang + 2 && ticks > ticked + 2;
        for (int n = 0; n < SPINNERS; n++)
            all = all && spins[n] > spun[n];
        if (all)
            return NULL;
        nanosleep(&pause, NULL);
    }
    return alarms <= rang + 2 ? "the interval timer stands still" : ticks <= ticked + 2 ? "the POSIX timer stands still"
                                                                                         : "a thread stands still";
}

static const char *check(void) {
    struct itimerspec timer;
    const char *wrong;
    if (wrong_registers)
        return "a register changed";
    if (timer_gettime(posix_timer, &timer) || timer.it_interval.tv_nsec != 7000000)
        return "the POSIX timer has another interval";
    if ((wrong = check_motion()) || (wrong = check_signals()))
        return wrong;
    return wrong_registers ? "a register changed" : NULL;
}

int main(void) {
    struct sigaction alarm_action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct sigaction tick_action = {.sa_sigaction = on_tick, .sa_flags = SA_RESTART | SA_SIGINFO};
    struct itimerval interval = {{0, 5000}, {0, 5000}};
    struct itimerspec period = {{0, 7000000}, {0, 7000000}};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 4711};
    sigset_t blocked;
    pthread_t thread;
    block_usr1();
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    sigaddset(&blocked, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    for (long n = 0; n < SPINNERS; n++)
        if (pthread_create(&thread, NULL, n && __builtin_cpu_supports("avx") ? spin : spin_plain, (void *)n))
            abort();
    sigaction(SIGALRM, &alarm_action, NULL);
    sigaction(SIGRTMIN + 1, &tick_action, NULL);
    if (setitimer(ITIMER_REAL, &interval, NULL) || timer_create(CLOCK_MONOTONIC, &event, &posix_timer) ||
        timer_settime(posix_timer, 0, &period, NULL))
        abort();
    queue_signals();
    serve(check);
}
