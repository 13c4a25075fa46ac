/* Memory and semaphores of the shared-memory filesystem, with a name and without, for two processes; one waits. */
#include "../programs/selfcheck.h"
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SIZE 20000

struct shared {
    sem_t question, answer;
    char text[100];
};

static struct shared *named, *nameless, *again;
static sem_t *gate, *gone;
static pid_t child;

static void *map(const char *name, int flags) {
    int fd = shm_open(name, flags | O_RDWR, 0640);
    if (fd < 0 || ftruncate(fd, SIZE))
        abort();
    void *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        abort();
    close(fd);
    return at;
}

static void answers(struct shared *s, sem_t *after) {
    for (;;) {
        sem_wait(&s->question);
        strcat(s->text, ", answered");
        if (after && sem_trywait(after))
            strcpy(s->text, "the second semaphore is not open");
        sem_post(&s->answer);
    }
}

static const char *ask(struct shared *s, sem_t *after) {
    strcpy(s->text, "asked");
    if (after)
        sem_post(after);
    sem_post(&s->question);
    sem_wait(&s->answer);
    return strcmp(s->text, "asked, answered") ? s->text : NULL;
}

static const char *check(void) {
    const char *wrong = ask(named, gate);
    struct stat file;
    if (wrong || (wrong = ask(nameless, gone)))
        return wrong;
    if (strcmp(again->text, nameless->text))
        return "two mappings of one memory without a name are two";
    struct shared *other = map("/replant-shm", 0);
    wrong = strcmp(other->text, named->text) ? "the name leads elsewhere" : NULL;
    munmap(other, SIZE);
    if (stat("/dev/shm/replant-none", &file) == 0)
        return "a removed name is there";
    return wrong;
}

int main(void) {
    block_usr1();
    shm_unlink("/replant-shm");
    sem_unlink("/replant-sem");
    named = map("/replant-shm", O_CREAT | O_EXCL);
    nameless = map("/replant-none", O_CREAT | O_EXCL);
    again = map("/replant-none", 0);
    shm_unlink("/replant-none");
    gate = sem_open("/replant-sem", O_CREAT | O_EXCL, 0600, 0);
    gone = sem_open("/replant-gone", O_CREAT | O_EXCL, 0600, 0);
    sem_unlink("/replant-gone");
    struct shared *both[] = {named, nameless};
    for (int n = 0; n < 2; n++) {
        sem_init(&both[n]->question, 1, 0);
        sem_init(&both[n]->answer, 1, 0);
        if ((child = fork()) == 0)
            answers(both[n], n ? gone : gate);
    }
    serve(check);
}
