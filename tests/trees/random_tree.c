/* random_tree SEED TASKS: a tree made by random forks, exits, setsid, setpgid and subreapers, with orphans and dead
 * leaders anywhere; it says ready when every task has done its part. The root stays a subreaper, so that none gets away. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MOST 64

static struct {
    volatile int forked, settled;
} *all;
static uint64_t state;

static unsigned chance(unsigned n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % n;
}

static void settled(void) {
    __sync_fetch_and_add(&all->settled, 1);
}

static void live(int budget, int depth) {
    pid_t children[MOST];
    int count = 0;
    while (budget > 0) {
        switch (chance(9)) {
        case 0:
            setsid();
            break;
        case 1:
            if (depth)
                prctl(PR_SET_CHILD_SUBREAPER, chance(2));
            break;
        case 2:
            if (count)
                setpgid(children[chance(count)], children[chance(count)]);
            break;
        case 3:
            setpgid(0, count ? children[chance(count)] : 0);
            break;
        default: {
            int share = 1 + chance(budget);
            uint64_t seed = state + share * 7919;
            __sync_fetch_and_add(&all->forked, 1);
            pid_t pid = fork();
            if (pid == 0) {
                state = seed | 1;
                live(share - 1, depth + 1);
                return;
            }
            budget -= share;
            if (count < MOST)
                children[count++] = pid;
            state ^= 0x9e3779b9;
        }
        }
    }
    if (depth) {
        int die = chance(4) == 0;
        settled();
        if (die)
            _exit(chance(200));
        for (;;)
            pause();
    }
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    all = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    state = strtoul(argv[1], NULL, 10) * 2654435761u + 88172645463325252u;
    live(atoi(argv[2]), 0);
    while (all->settled < all->forked)
        sched_yield();
    int fd = open("ready", O_WRONLY | O_CREAT, 0600);
    if (write(fd, "ready", 5) != 5 || close(fd))
        return 1;
    for (;;)
        pause();
}
