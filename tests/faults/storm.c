/* A tree that never stands still: the parent's children fork, exec themselves, start threads and end, all the time. */
#include "../programs/selfcheck.h"
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define BREEDERS 3

static pid_t breeders[BREEDERS];

static void *nothing(void *unused) { return unused; }

/* Each generation waits for the one that it has made; the last one execs, has threads, and ends. */
static void breed(void) {
    for (;;) {
        pid_t child = fork();
        if (!child) {
            pthread_t thread;
            if (!fork())
                execl("/proc/self/exe", "storm", "leaf", NULL);
            if (!pthread_create(&thread, NULL, nothing, NULL))
                pthread_join(thread, NULL);
            while (wait(NULL) > 0)
                ;
            _exit(7);
        }
        int status;
        if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
            abort();
    }
}

static const char *check(void) {
    for (int i = 0; i < BREEDERS; i++)
        if (waitpid(breeders[i], NULL, WNOHANG))
            return "a breeder has ended: something went wrong with its children";
    return NULL;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "leaf"))
        return 0;
    block_usr1();
    for (int i = 0; i < BREEDERS; i++)
        if (!(breeders[i] = fork())) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            breed();
        }
    serve(check);
}
