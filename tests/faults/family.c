/* A small tree with one of everything a restore makes: threads, a pipe with data, a sharer, a dead child, a session. */
#include "../programs/selfcheck.h"
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

static int ends[2], event, dead;
static volatile uint64_t counted;

static void *count(void *unused) {
    for (;;) {
        counted++;
        usleep(1000);
    }
    return unused;
}

static const char *check(void) {
    static char text[8];
    siginfo_t info = {0};
    uint64_t before = counted;
    while (counted == before)
        usleep(1000);
    if (read(ends[0], text, 5) != 5 || memcmp(text, "hello", 5) || write(ends[1], "hello", 5) != 5)
        return "the pipe lost its data";
    if (waitid(P_PID, dead, &info, WEXITED | WNOWAIT) || info.si_status != 7)
        return "the dead child is not what it was";
    return NULL;
}

int main(void) {
    pthread_t thread;
    block_usr1();
    event = eventfd(3, 0);
    if (pipe(ends) || event < 0 || write(ends[1], "hello", 5) != 5)
        abort();
    if (!(dead = fork()))
        _exit(7);
    siginfo_t info;
    waitid(P_PID, dead, &info, WEXITED | WNOWAIT);
    if (!fork()) {
        setsid();
        for (;;)
            pause();
    }
    if (pthread_create(&thread, NULL, count, NULL))
        abort();
    serve(check);
}
