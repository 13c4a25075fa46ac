/* Memory that is never at rest: areas are read, written, emptied, moved, cut, grown, protected and forked, by threads and
 * children too, all the time; what must be in each page is known, and each page is compared with that whenever it is
 * read. Whatever differs is remembered as the verdict. */
#include "../programs/selfcheck.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE 4096L
#define AREAS 12
#define PAGES 2048L
#define READERS 2

enum { ABSENT = -1, ZERO = 0 }; /* else the seed of a page's content */

struct area {
    char *at;
    long pages;
    int tag[PAGES];
    pthread_mutex_t lock;
};
static struct area areas[AREAS];
static char wrong[200];
static unsigned next_tag = 1;
static uint64_t chance = 88172645463325252ull;
static unsigned long long steps;

static unsigned random_below(unsigned n) {
    chance ^= chance << 13, chance ^= chance >> 7, chance ^= chance << 17;
    return (unsigned)(chance >> 20) % n;
}

static void fail(const char *what, int area, long page, uint64_t found) {
    if (!wrong[0])
        snprintf(wrong, sizeof wrong, "%s: area %d page %ld holds %llx after %llu steps", what, area, page,
                 (unsigned long long)found, steps);
}

static uint64_t word(int tag, long i) { return tag ? ((uint64_t)tag << 32 | (uint64_t)i) * 0x9E3779B97F4A7C15ull : 0; }

static void fill(struct area *a, long page, int tag) {
    uint64_t *p = (uint64_t *)(a->at + page * PAGE);
    for (long i = 0; i < PAGE / 8; i++)
        p[i] = word(tag, i);
    a->tag[page] = tag;
}

static void verify(struct area *a, long page, const char *who) {
    volatile uint64_t *p = (uint64_t *)(a->at + page * PAGE);
    if (a->tag[page] == ABSENT)
        return;
    for (long i = 0; i < PAGE / 8; i++)
        if (p[i] != word(a->tag[page], i)) {
            fail(who, (int)(a - areas), page, p[i]);
            return;
        }
}

static char *room(long pages) {
    return mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int writable(struct area *a, long from, long to) {
    for (long p = from; p < to; p++)
        if (a->tag[p] == ABSENT)
            return 0;
    return 1;
}

static void set_tags(struct area *a, long from, long to, int tag) {
    for (long p = from; p < to; p++)
        a->tag[p] = tag;
}

static void empty(struct area *a, long from, long to) {
    if (!writable(a, from, to))
        return;
    if (madvise(a->at + from * PAGE, (to - from) * PAGE, MADV_DONTNEED))
        fail("madvise", (int)(a - areas), from, (uint64_t)errno);
    set_tags(a, from, to, ZERO);
}

/* An area with holes, or of several mappings by now, cannot be moved in one go: then nothing happens. */
static void move(struct area *a) {
    if (!writable(a, 0, a->pages))
        return;
    char *to = room(a->pages);
    if (mremap(a->at, a->pages * PAGE, a->pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
        munmap(to, a->pages * PAGE);
    else
        a->at = to;
}

static void unmap(struct area *a, long from, long to) {
    munmap(a->at + from * PAGE, (to - from) * PAGE);
    set_tags(a, from, to, ABSENT);
}

static void map_again(struct area *a) {
    int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    for (long p = 0; p < a->pages; p++)
        if (a->tag[p] == ABSENT && mmap(a->at + p * PAGE, PAGE, PROT_READ | PROT_WRITE, how, -1, 0) != MAP_FAILED)
            a->tag[p] = ZERO;
}

static void protect(struct area *a, long from, long to) {
    if (!writable(a, from, to))
        return;
    mprotect(a->at + from * PAGE, (to - from) * PAGE, PROT_READ);
    for (long p = from; p < to; p++)
        verify(a, p, "a protected page");
    mprotect(a->at + from * PAGE, (to - from) * PAGE, PROT_READ | PROT_WRITE);
}

static void shrink_and_grow(struct area *a) {
    long less = a->pages / 2;
    if (!writable(a, 0, a->pages) || mremap(a->at, a->pages * PAGE, less * PAGE, 0) == MAP_FAILED)
        return;
    void *grown = mremap(a->at, less * PAGE, a->pages * PAGE, MREMAP_MAYMOVE);
    set_tags(a, less, a->pages, grown == MAP_FAILED ? ABSENT : ZERO);
    if (grown != MAP_FAILED)
        a->at = grown;
}

/* Locks of other threads stay locked in the child, which has only this one. */
static int in_child(void) {
    for (int n = 0; n < 400; n++) {
        struct area *a = &areas[random_below(AREAS)];
        long page = random_below(PAGES);
        verify(a, page, "in a child");
        if (a->tag[page] != ABSENT && n % 8 == 0)
            fill(a, page, 7);
    }
    empty(&areas[random_below(AREAS)], 100, 300);
    move(&areas[random_below(AREAS)]);
    for (int n = 0; n < AREAS; n++)
        for (long p = random_below(64); p < PAGES; p += 61)
            verify(&areas[n], p, "at the end of a child");
    return wrong[0] != 0;
}

static void fork_one(void) {
    if (wrong[0])
        return;
    for (int n = 0; n < AREAS; n++)
        pthread_mutex_lock(&areas[n].lock);
    pid_t child = fork();
    if (child == 0) {
        if (in_child())
            write_whole("child", wrong);
        _exit(wrong[0] != 0);
    }
    for (int n = 0; n < AREAS; n++)
        pthread_mutex_unlock(&areas[n].lock);
    int status;
    if (child > 0 && random_below(2) == 0)
        while (waitpid(child, &status, 0) == child)
            if (status)
                fail("a child", 0, 0, (uint64_t)status);
}

static void reap(void) {
    int status;
    while (waitpid(-1, &status, WNOHANG) > 0)
        if (status)
            fail("a child", 0, 0, (uint64_t)status);
}

static void *reader(void *seed) {
    uint64_t mine = (uint64_t)seed;
    for (;;) {
        mine = mine * 6364136223846793005ull + 1442695040888963407ull;
        struct area *a = &areas[(mine >> 33) % AREAS];
        pthread_mutex_lock(&a->lock);
        verify(a, (long)((mine >> 40) % PAGES), "a reader");
        pthread_mutex_unlock(&a->lock);
    }
    return NULL;
}

static void step(void) {
    struct area *a = &areas[random_below(AREAS)];
    long from = random_below(PAGES - 200), to = from + 1 + random_below(199);
    unsigned what = random_below(40);
    steps++;
    reap();
    if (what == 0)
        return fork_one();
    pthread_mutex_lock(&a->lock);
    if (what == 1)
        move(a);
    else if (what == 2)
        unmap(a, from, to);
    else if (what == 3)
        map_again(a);
    else if (what == 4)
        shrink_and_grow(a);
    else if (what < 9)
        protect(a, from, to);
    else if (what < 14)
        empty(a, from, to);
    else
        for (long p = from; p < to; p += 7) {
            verify(a, p, "read");
            if (a->tag[p] != ABSENT)
                fill(a, p, (int)next_tag++);
        }
    pthread_mutex_unlock(&a->lock);
}

/* Every page; then the areas are whole and full again, so that the next restore has something to load. */
static const char *check(void) {
    for (int n = 0; n < AREAS; n++) {
        struct area *a = &areas[n];
        pthread_mutex_lock(&a->lock);
        for (long p = 0; p < PAGES; p++)
            verify(a, p, "in the end");
        for (long p = 0; p < PAGES; p++)
            if (a->tag[p] != ABSENT)
                munmap(a->at + p * PAGE, PAGE);
        a->at = room(PAGES);
        for (long p = 0; p < PAGES; p++)
            fill(a, p, (int)next_tag++);
        pthread_mutex_unlock(&a->lock);
    }
    return wrong[0] ? wrong : NULL;
}

int main(void) {
    for (int n = 0; n < AREAS; n++) {
        areas[n].pages = PAGES;
        set_tags(&areas[n], 0, PAGES, ABSENT);
        pthread_mutex_init(&areas[n].lock, NULL);
    }
    block_usr1();
    check();
    pthread_t thread;
    for (long n = 0; n < READERS; n++)
        pthread_create(&thread, NULL, reader, (void *)(n + 1));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    write_whole("ready", "ready");
    for (;;) {
        struct timespec none = {0, 0};
        if (sigtimedwait(&set, NULL, &none) == SIGUSR1) {
            const char *bad = check();
            write_whole("verdict", bad ? bad : "ok");
        }
        step();
    }
}
