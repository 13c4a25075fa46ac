/* Areas that need care: guards in the middle, droppable, sealed, growing down side by side, mergeable, far away, given
 * up after they were written; locked, with the right to lock given up afterwards; shared anonymous memory in parts. */
#include "areas.h"
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define FAR ((char *)0x7ffff0000000) /* near the end of what 47 bits reach */

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

enum { GUARDED, DROPPABLE, SEALED, UPPER, LOWER, MERGEABLE, DISTANT, LOCKED, NEVER, PART, OTHER, AREAS };

static struct area areas[AREAS] = {
    [GUARDED] = {"guarded", "rd wr", NULL, 8},       [DROPPABLE] = {"droppable", "dp", NULL, 8},
    [SEALED] = {"sealed", "rd !wr sl", NULL, 8},     [UPPER] = {"upper of two that grow", "gd", NULL, 4},
    [LOWER] = {"lower of two that grow", "gd", NULL, 4}, [MERGEABLE] = {"mergeable", "mg", NULL, 8},
    [DISTANT] = {"far away", "rd wr", NULL, 8},      [LOCKED] = {"locked", "lo", NULL, 8},
    [NEVER] = {"not huge", "nh", NULL, 8},           [PART] = {"part of shared memory", "rd wr sh", NULL, 2},
    [OTHER] = {"the same part, elsewhere", "rd !wr sh", NULL, 2},
};
static int has_droppable = 1, has_seal = 1, has_guards = 1;
static int through_link, private_pages[2];
static char *private_view;

static char *make(int n, int flags) {
    areas[n].at = mmap(NULL, areas[n].pages * PAGE, RW, flags, -1, 0);
    return areas[n].at == MAP_FAILED ? NULL : areas[n].at;
}

static void mark(struct area *a) {
    for (long n = 0; n < a->pages; n++)
        memset(a->at + n * PAGE, (int)('a' + n), PAGE);
}

static int readable(char *at) { /* a write(2) from there tells, without a signal */
    if (write(private_pages[1], at, 1) != 1)
        return 0;
    char byte;
    return read(private_pages[0], &byte, 1) == 1;
}

static const char *marks(struct area *a) {
    for (long n = 0; n < a->pages; n++) {
        if (a == &areas[GUARDED] && has_guards && n % 3 == 1) {
            if (readable(a->at + n * PAGE))
                return wrong_about(a->name, "a guard does not guard");
        } else if (a->at[n * PAGE] != (char)('a' + n) || a->at[n * PAGE + PAGE - 1] != (char)('a' + n))
            return wrong_about(a->name, "a byte differs");
    }
    return NULL;
}

static const char *sealed(void) {
    if (!has_seal)
        return NULL;
    char *at = areas[SEALED].at;
    if (mprotect(at, PAGE, RW) == 0 || munmap(at, PAGE) == 0 || errno != EPERM)
        return "what is sealed can be changed";
    return NULL;
}

/* Both grow, the upper one towards the lower one, which has moved away. */
static const char *grows(void) {
    areas[UPPER].at[-2 * PAGE] = 'u';
    areas[LOWER].at[-2 * PAGE] = 'l';
    munmap(areas[UPPER].at - 2 * PAGE, 2 * PAGE);
    munmap(areas[LOWER].at - 2 * PAGE, 2 * PAGE);
    return NULL;
}

static const char *shared(void) {
    areas[PART].at[5] = '!';
    char through;
    const char *wrong = areas[OTHER].at[5] == '!' ? NULL : "two parts of shared memory are two memories";
    if (pread(through_link, &through, 1, 5 + PAGE) != 1 || through != '!')
        wrong = "what was opened through the link of a mapping is another memory";
    if (private_view[0] != 'v' || private_view[PAGE + 5] != '!')
        wrong = "a private mapping of shared memory differs";
    areas[PART].at[5] = 'a';
    return wrong;
}

static const char *check(void) {
    const char *wrong = NULL;
    for (int n = 0; n < AREAS && !wrong; n++) {
        if ((n == DROPPABLE && !has_droppable) || (n == SEALED && !has_seal))
            continue;
        wrong = flags_of(&areas[n]);
        if (!wrong && n != DROPPABLE)
            wrong = marks(&areas[n]);
    }
    if (wrong || (wrong = sealed()) || (wrong = grows()))
        return wrong;
    return shared();
}

static void two_that_grow(void) {
    char *room = mmap(NULL, 1024 * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0); /* nothing else comes between */
    munmap(room, 1024 * PAGE);
    areas[UPPER].at = mmap(room + 1000 * PAGE, 4 * PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    char *close = mmap(room + 996 * PAGE, 4 * PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    areas[LOWER].at = mremap(close, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 600 * PAGE);
}

/* Memory of eight pages, of which only the second and third stay mapped, twice; and its inode as a file. */
static void shared_in_parts(void) {
    char path[100], *whole = mmap(NULL, 8 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    areas[PART].at = whole + PAGE;
    mark(&areas[PART]);
    areas[OTHER].at = mremap(whole + PAGE, 0, 2 * PAGE, MREMAP_MAYMOVE); /* of size 0: a second mapping */
    mprotect(areas[OTHER].at, 2 * PAGE, PROT_READ);
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)whole, (unsigned long)(whole + 8 * PAGE));
    through_link = open(path, O_RDWR);
    if (through_link < 0) { /* who has no right to open it opens the memory otherwise */
        through_link = memfd_create("instead", 0);
        if (ftruncate(through_link, 8 * PAGE) || pwrite(through_link, whole, 3 * PAGE, 0) < 0)
            abort();
        munmap(whole, 8 * PAGE);
        munmap(areas[OTHER].at, 2 * PAGE);
        areas[PART].at = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, through_link, PAGE);
        areas[OTHER].at = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, through_link, PAGE);
    } else {
        munmap(whole, PAGE);
        munmap(whole + 3 * PAGE, 5 * PAGE);
    }
    private_view = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE, through_link, 0);
    private_view[0] = 'v';
}

int main(void) {
    block_usr1();
    if (pipe(private_pages) || !make(GUARDED, ANON) || !make(SEALED, ANON) || !make(MERGEABLE, ANON))
        abort();
    has_droppable = make(DROPPABLE, MAP_DROPPABLE | MAP_ANONYMOUS) != NULL;
    areas[DISTANT].at = mmap(FAR, 8 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    make(LOCKED, ANON);
    make(NEVER, ANON);
    two_that_grow();
    shared_in_parts();
    for (int n = 0; n < AREAS; n++)
        if (areas[n].at && areas[n].at != MAP_FAILED && n != PART && n != OTHER)
            mark(&areas[n]);
    for (int n = 1; n < 8 && has_guards; n += 3)
        has_guards = madvise(areas[GUARDED].at + n * PAGE, PAGE, MADV_GUARD_INSTALL) == 0;
    if (mlock(areas[LOCKED].at, 8 * PAGE) || madvise(areas[MERGEABLE].at, 8 * PAGE, MADV_MERGEABLE))
        abort();
    madvise(areas[NEVER].at, 8 * PAGE, MADV_NOHUGEPAGE);
    mprotect(areas[SEALED].at, 8 * PAGE, PROT_READ);
    has_seal = syscall(462, areas[SEALED].at, 8 * PAGE, 0) == 0; /* mseal */
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_MEMLOCK, &none))
        abort();
    if (!getuid() && setuid(65534)) /* and with that the right to lock is gone */
        abort();
    prctl(PR_SET_DUMPABLE, 1);
    serve(check);
}
