/* Private and shared anonymous memory of every sort: protections, advice, locks, growing down, holes, a terabyte. */
#include "areas.h"
#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

enum { PLAIN, READ_ONLY, CLOSED, TERA, ADVISED, FORKLESS, WIPED, LOCKED, ONFAULT, DOWN, HUGE, HOLES, TOUCHED, SHARED, AREAS };

static struct area areas[AREAS] = {
    [PLAIN] = {"plain", "rd wr !sh !lo", NULL, 8},
    [READ_ONLY] = {"read-only", "rd !wr mw", NULL, 8},
    [CLOSED] = {"closed", "!rd !wr", NULL, 8},
    [TERA] = {"terabyte", "rd wr nr", NULL, 1L << 28},
    [ADVISED] = {"sequential, not dumped", "sr dd", NULL, 8},
    [FORKLESS] = {"not forked", "dc", NULL, 8},
    [WIPED] = {"wiped on fork", "wf", NULL, 8},
    [LOCKED] = {"locked", "lo", NULL, 8},
    [ONFAULT] = {"locked on fault", "lo lf", NULL, 8},
    [DOWN] = {"grows down", "gd", NULL, 8},
    [HUGE] = {"huge pages", "hg", NULL, 1024},
    [HOLES] = {"holes", "rd wr", NULL, 64},
    [TOUCHED] = {"never touched", "rd wr", NULL, 64},
    [SHARED] = {"shared", "sh", NULL, 8},
};

/* Every second page is marked, the others were never touched. */
static void mark(struct area *a, long pages) {
    for (long n = 0; n < pages; n += 2)
        memset(a->at + n * PAGE, (int)('a' + n % 26), PAGE);
}

static const char *marks(struct area *a, long pages) {
    for (long n = 0; n < pages; n++)
        for (long byte = 0; byte < PAGE; byte += 511)
            if (a->at[n * PAGE + byte] != (n % 2 ? 0 : (char)('a' + n % 26)))
                return wrong_about(a->name, "a byte differs");
    return NULL;
}

static void make(int n, int prot, int flags) {
    areas[n].at = mmap(NULL, areas[n].pages * PAGE, prot, flags, -1, 0);
    if (areas[n].at == MAP_FAILED)
        abort();
}

static const char *check_contents(void) {
    const char *wrong = NULL;
    struct area *closed = &areas[CLOSED];
    mprotect(closed->at, closed->pages * PAGE, PROT_READ);
    for (int n = 0; n < AREAS && !wrong; n++)
        if (n != TERA && n != HOLES && n != TOUCHED)
            wrong = marks(&areas[n], 8);
    mprotect(closed->at, closed->pages * PAGE, PROT_NONE);
    for (long at = 0; at < 1L << 28 && !wrong; at += 1L << 24)
        if (areas[TERA].at[at * PAGE] != (char)(at >> 24) + 1)
            wrong = "terabyte: a byte differs";
    for (long n = 0; n < 64 && !wrong; n++) {
        if (areas[HOLES].at[n * PAGE] != (n % 4 == 1 ? 'h' : 0))
            wrong = "holes: a byte differs";
        if (n % 4 != 1) /* looking has put the zero page there */
            madvise(areas[HOLES].at + n * PAGE, PAGE, MADV_DONTNEED);
    }
    return wrong;
}

static long resident(struct area *a) {
    static unsigned char pages[64];
    long found = 0;
    if (mincore(a->at, a->pages * PAGE, pages))
        abort();
    for (long n = 0; n < a->pages; n++)
        found += pages[n] & 1;
    return found;
}

/* A child sees shared memory and its own; it has no forkless area, and a wiped one is empty. */
static const char *check_fork(void) {
    int status, found = 0;
    pid_t child = fork();
    if (child == 0) {
        unsigned char page;
        found |= areas[WIPED].at[0] ? 1 : 0;
        found |= mincore(areas[FORKLESS].at, PAGE, &page) == 0 ? 2 : 0;
        found |= areas[PLAIN].at[0] != 'a' ? 4 : 0;
        areas[SHARED].at[PAGE] = 's';
        _exit(found);
    }
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return "the child did not end by itself";
    if (WEXITSTATUS(status))
        return WEXITSTATUS(status) & 1 ? "not wiped on fork" : WEXITSTATUS(status) & 2 ? "forked" : "plain differs";
    if (areas[SHARED].at[PAGE] != 's')
        return "shared memory is not shared";
    areas[SHARED].at[PAGE] = 0;
    return NULL;
}

static const char *check(void) {
    const char *wrong = NULL;
    if (resident(&areas[TOUCHED]))
        return "never touched: it has pages";
    if (resident(&areas[HOLES]) != 16)
        return "holes: they are filled";
    for (int n = 0; n < AREAS && !wrong; n++)
        wrong = flags_of(&areas[n]);
    if (wrong || (wrong = check_contents()) || (wrong = check_fork()))
        return wrong;
    areas[DOWN].at[-8 * PAGE] = 'd'; /* it grows */
    munmap(areas[DOWN].at - 8 * PAGE, 8 * PAGE);
    return NULL;
}

int main(void) {
    block_usr1();
    for (int n = 0; n < AREAS; n++)
        if (n != DOWN)
            make(n, RW, n == TERA ? ANON | MAP_NORESERVE : n == SHARED ? MAP_SHARED | MAP_ANONYMOUS : ANON);
    char *room = mmap(NULL, 1024 * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0); /* nothing else comes below */
    munmap(room, 1024 * PAGE);
    areas[DOWN].at = mmap(room + 1000 * PAGE, 8 * PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    for (int n = 0; n < AREAS; n++)
        if (n != TERA && n != HOLES && n != TOUCHED && n != HUGE)
            mark(&areas[n], 8);
    madvise(areas[HUGE].at, 1024 * PAGE, MADV_HUGEPAGE);
    mark(&areas[HUGE], 8);
    for (long at = 0; at < 1L << 28; at += 1L << 24)
        areas[TERA].at[at * PAGE] = (char)(at >> 24) + 1;
    for (long n = 1; n < 64; n += 4)
        areas[HOLES].at[n * PAGE] = 'h';
    mprotect(areas[READ_ONLY].at, 8 * PAGE, PROT_READ);
    mprotect(areas[CLOSED].at, 8 * PAGE, PROT_NONE);
    madvise(areas[ADVISED].at, 8 * PAGE, MADV_SEQUENTIAL);
    madvise(areas[ADVISED].at, 8 * PAGE, MADV_DONTDUMP);
    madvise(areas[FORKLESS].at, 8 * PAGE, MADV_DONTFORK);
    madvise(areas[WIPED].at, 8 * PAGE, MADV_WIPEONFORK);
    if (mlock(areas[LOCKED].at, 8 * PAGE) || mlock2(areas[ONFAULT].at, 8 * PAGE, MLOCK_ONFAULT))
        abort();
    serve(check);
}
