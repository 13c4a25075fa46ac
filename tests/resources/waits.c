/* Waits of SPAN seconds, a thread each, in every relative way; at the end it tells of each when it was over.
   It is "ready" when a third of the time is up; the verdict comes when all are over. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPAN = 6 };
#define TICK 0.01 /* the times of sockets are counted in these, at most so long, from the last one on */

static struct timespec span(void) { return (struct timespec){SPAN, 0}; }

/* What no stop can delay: the others end when this one does, however slow the machine is. */
static long until(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += SPAN;
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
static long nanosleep_alone(void) {
    struct timespec t = span();
    return syscall(SYS_nanosleep, &t, NULL);
}
static long nanosleep_with_rest(void) {
    struct timespec t = span(), rest;
    return syscall(SYS_nanosleep, &t, &rest);
}
static long clock_alone(void) {
    struct timespec t = span();
    return syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &t, NULL);
}
static long clock_real(void) {
    struct timespec t = span();
    return syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, &t, NULL);
}
static long polls(void) {
    return poll(NULL, 0, SPAN * 1000);
}
static long polls_for_less(void) {
    struct timespec t = span();
    return ppoll(NULL, 0, &t, NULL);
}
static long selects(void) {
    struct timeval t = {SPAN, 0};
    return select(0, NULL, NULL, NULL, &t);
}
static long futex(void) {
    static unsigned word = 7;
    struct timespec t = span();
    long got = syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 7, &t, NULL, 0);
    return got == -1 && errno == ETIMEDOUT ? 0 : 1;
}
static long condition(void) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += SPAN;
    pthread_mutex_lock(&mutex);
    return pthread_cond_timedwait(&cond, &mutex, &t) == ETIMEDOUT ? 0 : 1;
}

/* A call that fails if it does not leave its registers as they were: compilers keep what they need in them. */
static long call(long number, long a, long b, long c, long d, long e) {
    register long rax __asm__("rax") = number, rdi __asm__("rdi") = a, rsi __asm__("rsi") = b, rdx __asm__("rdx") = c;
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = 99;
    __asm__ volatile("syscall"
                     : "+r"(rax), "+r"(rdi), "+r"(rsi), "+r"(rdx), "+r"(r10), "+r"(r8), "+r"(r9)
                     :
                     : "rcx", "r11", "memory");
    if (rdi != a || rsi != b || rdx != c || r10 != d || r8 != e || r9 != 99)
        return -1000;
    return rax;
}
static long epoll(void) {
    struct epoll_event event;
    return epoll_wait(epoll_create1(0), &event, 1, SPAN * 1000);
}
static long epoll_alone(void) {
    struct epoll_event event;
    return call(SYS_epoll_wait, epoll_create1(0), (long)&event, 1, SPAN * 1000, 7);
}
static long epoll_precise(void) {
    struct epoll_event event;
    struct timespec t = span();
    return call(SYS_epoll_pwait2, epoll_create1(0), (long)&event, 1, (long)&t, 0);
}
static long signal_wait(void) {
    struct timespec t = span();
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return call(SYS_rt_sigtimedwait, (long)&set, 0, (long)&t, 8, 7) == -EAGAIN && t.tv_sec == SPAN ? 0 : 1;
}
static long semaphore(void) {
    struct timespec t = span();
    struct sembuf op = {0, -1, 0};
    int set = semget(IPC_PRIVATE, 1, 0600);
    long gave = call(SYS_semtimedop, set, (long)&op, 1, (long)&t, 7);
    semctl(set, 0, IPC_RMID);
    return gave == -EAGAIN ? 0 : gave;
}
static long events(void) {
    struct timespec t = span();
    unsigned long context = 0;
    char event[32];
    if (syscall(SYS_io_setup, 1, &context))
        return 1;
    return call(SYS_io_getevents, context, 1, 1, (long)event, (long)&t);
}

/* A call on the first of two connected sockets, which waits for as long as their options say. */
static long on_socket(long (*what)(int, int)) {
    struct timeval t = {SPAN, 0};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) ||
        setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t))
        return 1;
    return what(pair[0], pair[1]) == -EAGAIN ? 0 : 1;
}
static long receive(int own, int peer) {
    char byte;
    (void)peer;
    return call(SYS_recvfrom, own, (long)&byte, 1, 0, 0);
}
static long receive_second(int own, int peer) {
    char byte;
    return write(peer, "x", 1) == 1 && call(SYS_read, own, (long)&byte, 1, 7, 8) == 1 && byte == 'x' ? receive(own, peer) : 1;
}
static long send_full(int own, int peer) {
    static char block[4096];
    (void)peer;
    while (send(own, block, sizeof block, MSG_DONTWAIT) > 0)
        ;
    return call(SYS_write, own, (long)block, sizeof block, 7, 8);
}
static long receives(void) { return on_socket(receive); }
static long receives_second(void) { return on_socket(receive_second); }
static long sends(void) { return on_socket(send_full); }

static struct {
    const char *name;
    long (*wait)(void);
    pthread_t thread;
    double took;
    long gave;
    int error;
} waits[] = {
    {.name = "until a time", .wait = until},
    {.name = "nanosleep", .wait = nanosleep_alone},
    {.name = "nanosleep with the rest", .wait = nanosleep_with_rest},
    {.name = "clock_nanosleep", .wait = clock_alone},
    {.name = "clock_nanosleep of real time", .wait = clock_real},
    {.name = "poll", .wait = polls},
    {.name = "ppoll", .wait = polls_for_less},
    {.name = "select", .wait = selects},
    {.name = "futex", .wait = futex},
    {.name = "condition", .wait = condition},
    {.name = "epoll_wait", .wait = epoll},
    {.name = "epoll_wait alone", .wait = epoll_alone},
    {.name = "epoll_pwait2", .wait = epoll_precise},
    {.name = "rt_sigtimedwait", .wait = signal_wait},
    {.name = "semtimedop", .wait = semaphore},
    {.name = "io_getevents", .wait = events},
    {.name = "recvfrom", .wait = receives},
    {.name = "recvfrom after read", .wait = receives_second},
    {.name = "write to a socket", .wait = sends},
};
enum { COUNT = sizeof waits / sizeof *waits };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void *run(void *at) {
    long i = (long)at;
    double began = now();
    waits[i].gave = waits[i].wait();
    waits[i].error = errno;
    waits[i].took = now() - began;
    return NULL;
}

static void write_file(const char *name, const char *text) {
    char part[32];
    snprintf(part, sizeof part, "%s.part", name);
    FILE *f = fopen(part, "w");
    fputs(text, f);
    fclose(f);
    rename(part, name);
}

int main(void) {
    char text[4096] = "";
    for (long i = 0; i < COUNT; i++)
        if (pthread_create(&waits[i].thread, NULL, run, (void *)i))
            return 1;
    usleep(SPAN * 1000000 / 3);
    write_file("ready", "ready");
    for (long i = 0; i < COUNT; i++) {
        pthread_join(waits[i].thread, NULL);
        if (waits[i].gave || waits[i].took < SPAN - TICK || waits[i].took > waits[0].took + SPAN / 4.0)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s gave %ld (%s) after %.2f s\n", waits[i].name,
                     waits[i].gave, strerror(waits[i].error), waits[i].took);
    }
    write_file("verdict", *text ? text : "ok");
    for (;;)
        pause();
}
