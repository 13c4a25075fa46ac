/* Processes that share descriptor tables, or current directory, root and umask, and such as have copies. Each checks, when
   the root is asked (SIGUSR1), what it sees of what the others do; the root writes the verdict.

   root -files- a -files- b;  b's child c has a copy, and d, c's child, shares with c;
   root -fs- e -fs- f;  g, a child of f, has a copy. And h shares the table of i, its sibling, but not that of g above. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { A, B, C, D, E, F, G, H, I, COUNT };

/* what they tell each other, in shared memory: a word each is to do something with, and what came of it */
static struct {
    volatile int turn[COUNT], done[COUNT], answer[COUNT];
    volatile pid_t pid[COUNT];
    char text[COUNT][256];
} *board;

static void pass_time(void) {
    struct timespec t = {0, 1000000};
    nanosleep(&t, NULL);
}

static int act(int who, int turn);

static void serve(int who) {
    board->pid[who] = getpid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int last = 0;; pass_time())
        if (board->turn[who] != last) {
            last = board->turn[who];
            board->answer[who] = act(who, last);
            board->done[who] = last;
        }
}

static void child(int flags, int who, void (*below)(void)) {
    if (syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL) == 0) {
        if (below)
            below();
        serve(who);
    }
    while (!board->pid[who])
        pass_time();
}

enum { IS_OPEN = 1 << 24, OPEN = 2 << 24, CLOSE = 3 << 24, WHERE = 4 << 24, GO = 5 << 24, MASK = 6 << 24, SEQUENCE = 1 << 16 };

/* the work that can be asked for: about a descriptor in the lowest bits, or about the current directory */
static int act(int who, int turn) {
    int what = turn & 0x7F000000, argument = turn & 0xFFFF;
    switch (what) {
    case IS_OPEN:
        return fcntl(argument, F_GETFD) >= 0;
    case OPEN:
        return dup2(open("/dev/null", O_RDONLY), argument);
    case CLOSE:
        return close(argument);
    case WHERE:
        return getcwd(board->text[who], sizeof board->text[who]) != NULL;
    case GO:
        return chdir(argument ? "deeper" : "..");
    case MASK: {
        int old = umask(argument);
        if (!argument)
            umask(old);
        return old;
    }
    }
    return -1;
}

static int ask(int who, int what) {
    static int sequence;
    int turn = what | (++sequence % 200 * SEQUENCE);
    board->turn[who] = turn;
    while (board->done[who] != turn)
        pass_time();
    return board->answer[who];
}

static void below_c(void) { child(CLONE_FILES, D, NULL); }
static void below_b(void) { child(0, C, below_c); }
static void below_a(void) { child(CLONE_FILES, B, below_b); }
static void below_i(void) { child(CLONE_FILES | CLONE_PARENT, H, NULL); }
static void below_g(void) { child(0, I, below_i); }
static void below_f(void) { child(0, G, below_g); }
static void below_e(void) { child(CLONE_FS, F, below_f); }

static const char *wrong(void) {
    /* one opens, and the sharers see it, nobody else */
    int fd = open("/dev/null", O_RDONLY);
    dup2(fd, 900);
    close(fd);
    if (!ask(A, IS_OPEN | 900) || !ask(B, IS_OPEN | 900))
        return "a sharer of the root's table does not see what the root opens";
    for (int who = C; who < COUNT; who++)
        if (ask(who, IS_OPEN | 900))
            return "somebody sees what the root opens who does not share with it";
    ask(B, CLOSE | 900);
    if (fcntl(900, F_GETFD) >= 0)
        return "what a sharer closes is open";
    ask(D, OPEN | 901);
    if (!ask(C, IS_OPEN | 901) || ask(B, IS_OPEN | 901) || fcntl(901, F_GETFD) >= 0)
        return "the table of two below";
    ask(C, CLOSE | 901);
    ask(H, OPEN | 902);
    if (!ask(I, IS_OPEN | 902) || ask(A, IS_OPEN | 902) || ask(E, IS_OPEN | 902))
        return "the table of two siblings";
    ask(I, CLOSE | 902);

    char here[256];
    if (!getcwd(here, sizeof here) || ask(F, GO | 1))
        return "the way down";
    char deeper[300], now[256];
    snprintf(deeper, sizeof deeper, "%s/deeper", here);
    if (!getcwd(now, sizeof now) || strcmp(now, deeper) || !ask(E, WHERE) || strcmp(board->text[E], deeper))
        return "a shared current directory";
    if (!ask(G, WHERE) || strcmp(board->text[G], here) || !ask(A, WHERE) || strcmp(board->text[A], here))
        return "a current directory of one's own";
    if (ask(E, GO | 0))
        return "the way up";
    ask(E, MASK | 0137);
    int mine = umask(0);
    umask(027);
    if (mine != 0137 || ask(F, MASK) != 027 || ask(G, MASK) != 027)
        return "the umask";
    return NULL;
}

static void verdict(const char *name, const char *text) {
    int at = open(".", O_RDONLY | O_DIRECTORY), fd = openat(at, "part", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (write(fd, text, strlen(text)) < 0)
        _exit(3);
    close(fd);
    renameat(at, "part", at, name);
    close(at);
}

int main(void) {
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    umask(027);
    mkdir("deeper", 0700);
    child(CLONE_FILES, A, below_a);
    child(CLONE_FS, E, below_e);
    for (int who = 0; who < COUNT; who++)
        while (!board->pid[who])
            pass_time();
    verdict("ready", "ready");
    while (!sigwait(&set, &number)) {
        const char *found = wrong();
        verdict("verdict", found ? found : "ok");
    }
    return 1;
}
