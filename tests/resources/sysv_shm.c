/* Segments of every sort: attached by two processes in parts and at several places, detached, to be removed. */
#include "sysv.h"
#include <sys/mman.h>
#include <sys/shm.h>

#define PAGE 4096L
#define KEY 0x7265706c
#define SIZE 30000 /* not of whole pages: eight of them */

static int keyed, going, detached, childs;
static char *whole, *second, *reading, *last;
static int to_child[2], from_child[2];
static struct shmid_ds before[4];

static char pattern(long at) {
    return (char)('a' + at % 23);
}

static void parts(char *at) { /* the fourth page is gone, the second may not be written to, the sixth not touched */
    munmap(at + 3 * PAGE, PAGE);
    mprotect(at + PAGE, PAGE, PROT_READ);
    mprotect(at + 5 * PAGE, PAGE, PROT_NONE);
}

static const char *wrong_about(const char *what, int id) {
    static char text[200];
    snprintf(text, sizeof text, "segment %d: %s", id, what);
    return text;
}

static const char *same(int id, const struct shmid_ds *old) {
    struct shmid_ds now;
    if (shmctl(id, IPC_STAT, &now))
        return wrong_about("is gone", id);
    const char *wrong = differs(&old->shm_perm, &now.shm_perm);
    if (wrong || old->shm_cpid != now.shm_cpid)
        return wrong_about(wrong ? wrong : "it was made by another process", id);
    if (old->shm_segsz != now.shm_segsz)
        return wrong_about("its size differs", id);
    return old->shm_nattch != now.shm_nattch ? wrong_about("it is attached more or less often", id) : NULL;
}

static const char *layout(char *at) {
    unsigned char page;
    if (mincore(at + 3 * PAGE, PAGE, &page) == 0)
        return "the unmapped page is there";
    int pipes[2];
    if (pipe(pipes))
        abort();
    int readable = write(pipes[1], at + PAGE, 1) == 1, unreadable = write(pipes[1], at + 5 * PAGE, 1) < 0;
    int unwritable = read(pipes[0], at + PAGE, 1) < 0 && errno == EFAULT;
    close(pipes[0]);
    close(pipes[1]);
    return readable && unreadable && unwritable ? NULL : "protections differ";
}

static const char *contents(void) {
    for (long at = 0; at < SIZE; at++)
        if (whole[at] != pattern(at) || reading[at] != pattern(at))
            return "contents differ";
    if (mprotect(reading, PAGE, PROT_READ | PROT_WRITE) == 0)
        return "an attachment for reading can be made one for writing";
    char *at = shmat(detached, NULL, SHM_RDONLY);
    const char *wrong = at == (void *)-1 || strcmp(at, "detached") ? "the detached segment differs" : NULL;
    shmdt(at);
    return strcmp(last, "going") ? "the segment to be removed differs" : wrong;
}

/* What one process writes the other reads, wherever it is attached. */
static const char *shared(void) {
    char byte = '?';
    whole[4 * PAGE] = 'P';
    if (write(to_child[1], "x", 1) != 1 || read(from_child[0], &byte, 1) != 1)
        return "the child does not answer";
    const char *wrong = byte == 'P' && second[7 * PAGE] == 'C' ? NULL : "it is not shared with the child";
    whole[4 * PAGE] = pattern(4 * PAGE);
    whole[7 * PAGE] = pattern(7 * PAGE);
    return wrong;
}

/* shmdt(2) detaches all parts of an attachment at once. */
static const char *detach(void) {
    unsigned char page;
    char *at = second;
    if (shmdt(second) || mincore(second, PAGE, &page) == 0 || mincore(second + 7 * PAGE, PAGE, &page) == 0)
        return "shmdt does not detach the whole";
    second = shmat(keyed, at, 0);
    parts(second);
    return second == at ? NULL : "it cannot be attached again";
}

static const char *check(void) {
    int ids[] = {keyed, going, detached, childs};
    const char *wrong = NULL;
    for (int n = 0; n < 4 && !wrong; n++)
        wrong = same(ids[n], &before[n]);
    if (wrong || (wrong = layout(second)) || (wrong = contents()) || (wrong = shared()) || (wrong = detach()))
        return wrong;
    return shmget(KEY, 0, 0) == keyed ? NULL : "the key leads elsewhere";
}

static void child(void) {
    char byte;
    if (!getuid() && (setegid(1001) || seteuid(1000)))
        abort();
    int id = shmget(IPC_PRIVATE, 3 * PAGE, 0600);
    char *own = shmat(id, NULL, 0);
    strcpy(own, "child");
    if (write(from_child[1], &id, sizeof id) != sizeof id)
        abort();
    char *at = shmat(keyed, NULL, 0);
    while (read(to_child[0], &byte, 1) == 1) {
        byte = strcmp(own, "child") ? '!' : at[4 * PAGE];
        at[7 * PAGE] = 'C';
        if (write(from_child[1], &byte, 1) != 1)
            break;
    }
    _exit(0);
}

int main(void) {
    block_usr1();
    detached = shmget(IPC_PRIVATE, 100, 0600); /* the first number of an IPC namespace is 0 */
    keyed = shmget(KEY, SIZE, IPC_CREAT | 0640);
    going = shmget(IPC_PRIVATE, PAGE, 0600);
    uid_t user = getuid() ? getuid() : 1000; /* another owner than the maker, where that may be */
    struct shmid_ds owner = {.shm_perm = {.uid = user, .gid = user + 1, .mode = 0666}};
    if (shmctl(keyed, IPC_SET, &owner) || pipe(to_child) || pipe(from_child))
        abort();
    whole = shmat(keyed, NULL, 0);
    for (long at = 0; at < SIZE; at++)
        whole[at] = pattern(at);
    second = shmat(keyed, NULL, 0);
    parts(second);
    reading = shmat(keyed, NULL, SHM_RDONLY);
    last = shmat(going, NULL, 0);
    strcpy(last, "going");
    shmctl(going, IPC_RMID, NULL);
    char *at = shmat(detached, NULL, 0);
    strcpy(at, "detached");
    shmdt(at);
    if (fork() == 0)
        child();
    if (read(from_child[0], &childs, sizeof childs) != sizeof childs)
        abort();
    int ids[] = {keyed, going, detached, childs};
    whole[4 * PAGE] = 'P';
    char byte; /* the child has attached it once it answers */
    if (write(to_child[1], "x", 1) != 1 || read(from_child[0], &byte, 1) != 1 || byte != 'P')
        abort();
    whole[4 * PAGE] = pattern(4 * PAGE);
    whole[7 * PAGE] = pattern(7 * PAGE);
    for (int n = 0; n < 4; n++)
        shmctl(ids[n], IPC_STAT, &before[n]);
    serve(check);
}
