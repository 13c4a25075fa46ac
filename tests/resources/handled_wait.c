/* Waits for an hour; SIGUSR1 interrupts that by a handler, which waits for SIGUSR2 before it returns. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

static void write_file(const char *name, const char *text) {
    char part[32];
    snprintf(part, sizeof part, "%s.part", name);
    FILE *f = fopen(part, "w");
    fputs(text, f);
    fclose(f);
    rename(part, name);
}

static void handle(int number) {
    (void)number;
    int got;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    write_file("handling", "yes");
    sigwait(&set, &got);
}

int main(void) {
    struct epoll_event event;
    sigset_t set;
    int epoll = epoll_create1(0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGUSR1, handle);
    write_file("ready", "ready");
    int gave = epoll_wait(epoll, &event, 1, 3600 * 1000);
    write_file("verdict", gave == -1 && errno == EINTR ? "ok" : strerror(errno));
    for (;;)
        sigsuspend(&set);
}
