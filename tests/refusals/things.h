/* A program that has things which cannot be kept: those that its arguments name. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* make returns NULL or why this kernel has no such thing; check NULL or what has become of the thing. */
struct thing {
    const char *name;
    const char *(*make)(void);
    const char *(*check)(void);
};

extern const struct thing files[], memory[], tasks[], namespaces[];

/* 0 or -1 with errno: the word that a test may skip for, or none. */
static inline const char *missing(long answer) {
    return answer < 0 ? strerror(errno) : NULL;
}

/* A child that waits for ever, and ends with its parent. */
static inline pid_t sleeper(void) {
    pid_t pid = fork();
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return pid;
}
