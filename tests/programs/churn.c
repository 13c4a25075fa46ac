/* Two processes that never let their memory rest: they write, move, grow, unmap, drop and fork, and know what each page
 * must hold. A page is checked before it is written, so that one that is not of the same instant as the rest is found
 * whenever the program is stopped and made again. */
#include "selfcheck.h"
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE 4096L
#define AREAS 24
#define CALM 8 /* of these: they stay where they are, and few of their pages are written */
#define MOST 96L
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

struct area {
    char *at;
    long pages;
    uint64_t seed[MOST]; /* of each page; 0: it was never written, or dropped */
};

struct shared {
    volatile uint64_t rounds[2];
    char wrong[2][256];
    uint64_t twin[2][512]; /* as `twin` of each process has it, but for a step that is under way */
};

static struct area areas[AREAS];
static struct shared *shared;
static int me;
static uint64_t state, *twin;

static uint64_t chance(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

static void complain(const char *what, long area, long page) {
    if (!shared->wrong[me][0])
        snprintf(shared->wrong[me], sizeof shared->wrong[me], "process %d: %s: area %ld page %ld at round %lu", me, what,
                 area, page, (unsigned long)shared->rounds[me]);
}

static void write_page(struct area *a, long page, uint64_t seed) {
    uint64_t *words = (uint64_t *)(a->at + page * PAGE);
    for (int n = 0; n < 512; n++)
        words[n] = seed * (n + 1);
    a->seed[page] = seed;
}

static void check_page(struct area *a, long page) {
    uint64_t *words = (uint64_t *)(a->at + page * PAGE);
    for (int n = 0; n < 512; n++)
        if (words[n] != a->seed[page] * (n + 1)) {
            complain("a page is not what it was", a - areas, page);
            return;
        }
}

static void check_all(void) {
    for (int n = 0; n < AREAS; n++)
        for (long page = 0; page < areas[n].pages; page++)
            check_page(&areas[n], page);
    for (int n = 0; n < 512; n++)
        if (twin[n] - shared->twin[me][n] > 1)
            complain("private and shared memory are of two moments", -1, n);
}

static char *map(long pages) {
    char *at = mmap(NULL, pages * PAGE, RW, ANON, -1, 0);
    if (at == MAP_FAILED)
        abort();
    return at;
}

static void make(struct area *a) {
    int calm = a - areas < CALM;
    memset(a->seed, 0, sizeof a->seed);
    a->pages = calm ? MOST : 1 + chance() % MOST;
    a->at = map(a->pages);
    for (long page = 0; calm && page < MOST; page++)
        write_page(a, page, chance() | 1);
}

static void rewrite(struct area *a) {
    for (long page = chance() % a->pages, n = chance() % 16; n > 0 && page < a->pages; n--, page++) {
        check_page(a, page);
        write_page(a, page, chance() | 1);
    }
}

static void replace(struct area *a) {
    munmap(a->at, a->pages * PAGE);
    make(a);
}

static void move(struct area *a) {
    char *place = map(a->pages);
    if (mremap(a->at, a->pages * PAGE, a->pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place) != place)
        abort();
    a->at = place;
}

static void resize(struct area *a) {
    long pages = 1 + chance() % MOST;
    char *at = mremap(a->at, a->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);
    if (at == MAP_FAILED)
        abort();
    for (long page = pages; page < a->pages; page++)
        a->seed[page] = 0;
    a->at = at, a->pages = pages;
}

static void drop(struct area *a) {
    long first = chance() % a->pages, count = 1 + chance() % (a->pages - first);
    for (long page = first; page < first + count; page++) {
        check_page(a, page);
        a->seed[page] = 0;
    }
    madvise(a->at + first * PAGE, count * PAGE, MADV_DONTNEED);
}

static void protect(struct area *a) {
    long first = chance() % a->pages;
    mprotect(a->at + first * PAGE, PAGE, PROT_READ);
    check_page(a, first);
    mprotect(a->at + first * PAGE, PAGE, RW);
}

static void have_a_child(struct area *a) {
    pid_t child = fork();
    if (!child) {
        rewrite(a);
        check_all();
        _exit(0);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status)
        complain("its child failed", a - areas, 0);
    if (waitpid(-1, &status, WNOHANG | __WALL) > 0)
        complain("it has a child from nowhere", a - areas, 0);
}

static void step_twin(void) {
    long n = chance() % 512;
    twin[n]++;
    shared->twin[me][n]++;
}

static void round_of_work(void) {
    long n = chance() % AREAS;
    struct area *a = &areas[n];
    void (*some[])(struct area *) = {rewrite, rewrite, rewrite, rewrite, rewrite, move, resize, replace, drop, protect};
    if (n >= CALM)
        some[chance() % 10](a);
    else if (chance() % 8 == 0) {
        long page = chance() % MOST;
        check_page(a, page);
        write_page(a, page, chance() | 1);
    }
    step_twin();
    if (chance() % 64 == 0)
        have_a_child(a);
    if (++shared->rounds[me] % 8 == 0)
        usleep(500); /* there are others on this machine */
}

static const char *verdict(void) {
    uint64_t before = shared->rounds[1 - me];
    check_all();
    for (int patience = 0; shared->rounds[1 - me] - before < 100; patience++, usleep(1000))
        if (patience > 30000)
            return "the other process does nothing";
    for (int n = 0; n < 2; n++)
        if (shared->wrong[n][0])
            return shared->wrong[n];
    return NULL;
}

static void answer_between_rounds(void) {
    struct timespec now = {0, 0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    for (;;) {
        round_of_work();
        if (sigtimedwait(&set, NULL, &now) == SIGUSR1) {
            const char *wrong = verdict();
            write_whole("verdict", wrong ? wrong : "ok");
        }
    }
}

int main(void) {
    block_usr1();
    shared = mmap(NULL, sizeof *shared, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    twin = (uint64_t *)map(1);
    me = fork() ? 0 : 1;
    state = 88172645463325252ULL + me;
    for (int n = 0; n < AREAS; n++)
        make(&areas[n]);
    for (int n = 0; n < 500; n++)
        round_of_work();
    if (me)
        for (;;)
            round_of_work();
    while (shared->rounds[1] < 500)
        usleep(100);
    write_whole("ready", "ready");
    answer_between_rounds();
}
