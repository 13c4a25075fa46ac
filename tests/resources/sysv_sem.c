/* Sets of semaphores: values, owner, who changed them; a child that waits, another that has changes to undo. */
#include "sysv.h"
#include <sys/sem.h>

#define KEY 0x73656d73
#define COUNT 5

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

static int set, private;
static pid_t first, waiter, undoer;
static int from_waiter[2];
static struct semid_ds before;
static int last[COUNT];

static int ask(int number, int what) {
    return semctl(set, number, what, (union semun){0});
}

static void change(int number, int by, int flags) {
    struct sembuf operation = {(unsigned short)number, (short)by, (short)flags};
    if (semop(set, &operation, 1))
        abort();
}

static const char *attributes(void) {
    struct semid_ds now;
    if (semctl(set, 0, IPC_STAT, (union semun){.buf = &now}))
        return "the set is gone";
    const char *wrong = differs(&before.sem_perm, &now.sem_perm);
    if (wrong)
        return wrong;
    if (now.sem_nsems != COUNT || semget(KEY, 0, 0) != set)
        return "its size differs, or the key leads elsewhere";
    return semctl(private, 2, GETVAL) == 32767 ? NULL : "the other set differs";
}

static const char *values(void) {
    static const int wanted[] = {7, 0, 3, 0, 1};
    for (int n = 0; n < COUNT; n++) {
        if (ask(n, GETVAL) != wanted[n])
            return "a value differs";
        if (ask(n, GETPID) != last[n] && kill(last[n], 0) == 0) /* the dead are nobody */
            return "a semaphore was changed by another process";
    }
    return NULL;
}

/* The waiter gets through once, and waits again. */
static const char *waiting(void) {
    char byte;
    while (ask(1, GETNCNT) != 1) /* it may have to enter the call again first */
        ;
    change(1, 1, 0);
    if (read(from_waiter[0], &byte, 1) != 1)
        return "the waiter is gone";
    while (ask(1, GETNCNT) != 1)
        ;
    return NULL;
}

/* A child takes two and dies: the kernel gives them back. So do the changes of the undoer, at its end. */
static const char *undoing(void) {
    pid_t child = fork();
    if (!child) {
        change(0, -2, SEM_UNDO);
        _exit(ask(0, GETVAL));
    }
    int status;
    if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 5 || ask(0, GETVAL) != 7)
        return "a change is not undone";
    return NULL;
}

static void undoes(void) {
    undoer = fork();
    if (!undoer) {
        change(3, -2, SEM_UNDO); /* two were there, and come back */
        change(2, 3, SEM_UNDO);  /* three that go again */
        change(4, 1, SEM_UNDO);
        change(4, -1, SEM_UNDO); /* in all nothing */
        change(4, 1, 0);
        for (;;)
            pause();
    }
    while (ask(4, GETVAL) != 1 || ask(4, GETPID) != undoer)
        ;
}

static const char *end_of_undoer(void) {
    int status;
    kill(undoer, SIGKILL);
    if (waitpid(undoer, &status, 0) != undoer)
        return "the undoer is no child";
    if (ask(3, GETVAL) != 2 || ask(2, GETVAL) != 0)
        return "what a process has changed is not undone at its end";
    change(4, -1, 0);
    undoes();
    return NULL;
}

static void note(void) {
    for (int n = 0; n < COUNT; n++)
        last[n] = ask(n, GETPID);
}

static const char *check(void) {
    const char *wrong;
    if ((wrong = attributes()) || (wrong = values()) || (wrong = waiting()) || (wrong = undoing()))
        return wrong;
    wrong = end_of_undoer();
    note();
    return wrong;
}

int main(void) {
    block_usr1();
    private = semget(IPC_PRIVATE, 3, 0600);
    set = semget(KEY, COUNT, IPC_CREAT | 0640);
    uid_t user = getuid() ? getuid() : 1000; /* another owner than the maker, where that may be */
    struct semid_ds owner = {.sem_perm = {.uid = user, .gid = user + 1, .mode = 0666}};
    if (set < 0 || semctl(set, 0, IPC_SET, (union semun){.buf = &owner}) || pipe(from_waiter))
        abort();
    semctl(private, 2, SETVAL, (union semun){.val = 32767});
    semctl(set, 3, SETVAL, (union semun){.val = 2});
    if ((first = fork()) == 0) { /* not the first to be forked: a value set by another process than the root */
        semctl(set, 0, SETVAL, (union semun){.val = 7});
        for (;;)
            pause();
    }
    while (ask(0, GETVAL) != 7)
        ;
    if ((waiter = fork()) == 0)
        for (;;) {
            struct sembuf take = {1, -1, 0};
            if (semop(set, &take, 1) == 0 && write(from_waiter[1], "x", 1) != 1)
                abort();
        }
    while (ask(1, GETNCNT) != 1)
        ;
    undoes();
    semctl(set, 0, IPC_STAT, (union semun){.buf = &before});
    note();
    serve(check);
}
