/* Mappings of files: shared and private, with offsets, protections and private changes; one file in several mappings. */
#include "areas.h"
#include <sys/stat.h>

enum { SHARED, SHARED_READ, PRIVATE, CHANGED, OFFSET, SEALED_OFF, AREAS };

static struct area areas[AREAS] = {
    [SHARED] = {"shared", "rd wr sh", NULL, 4},
    [SHARED_READ] = {"shared, read-only", "rd !wr sh", NULL, 4},
    [PRIVATE] = {"private", "rd wr !sh", NULL, 4},
    [CHANGED] = {"private, changed", "rd wr !sh", NULL, 4},
    [OFFSET] = {"at an offset", "rd !sh rr", NULL, 2},
    [SEALED_OFF] = {"private, changed, closed", "!rd !wr", NULL, 4},
};
static int file;
static char count = '0';

static void make(int n, int prot, int flags, long offset) {
    areas[n].at = mmap(NULL, areas[n].pages * PAGE, prot, flags, file, offset);
    if (areas[n].at == MAP_FAILED)
        abort();
}

/* Page n of the file is full of the letter n, but for the counter at its start. */
static const char *pages(int n, long first, char changed) {
    for (long page = 0; page < areas[n].pages; page++) {
        char want = page == 1 && changed ? changed : (char)('A' + first + page);
        if (areas[n].at[page * PAGE + 100] != want || areas[n].at[page * PAGE + PAGE - 1] != want)
            return wrong_about(areas[n].name, "a byte differs");
    }
    return NULL;
}

static const char *check_writing(void) {
    char on_disk;
    areas[SHARED].at[0] = ++count;
    if (pread(file, &on_disk, 1, 0) != 1 || on_disk != count)
        return "what is written to the shared mapping does not reach the file";
    if (areas[SHARED_READ].at[0] != count)
        return "two shared mappings of one file differ";
    if (areas[PRIVATE].at[0] != count)
        return "an unchanged page of a private mapping does not follow the file";
    if (areas[CHANGED].at[PAGE] != '#')
        return "a private change is lost, or reached the file";
    return NULL;
}

static const char *check(void) {
    const char *wrong = NULL;
    for (int n = 0; n < AREAS && !wrong; n++)
        wrong = flags_of(&areas[n]);
    mprotect(areas[SEALED_OFF].at, 4 * PAGE, PROT_READ);
    if (!wrong)
        wrong = pages(SEALED_OFF, 0, '%');
    mprotect(areas[SEALED_OFF].at, 4 * PAGE, PROT_NONE);
    if (wrong || (wrong = pages(SHARED, 0, 0)) || (wrong = pages(SHARED_READ, 0, 0)) || (wrong = pages(PRIVATE, 0, 0)) ||
        (wrong = pages(CHANGED, 0, '#')) || (wrong = pages(OFFSET, 6, 0)))
        return wrong;
    return check_writing();
}

int main(void) {
    char page[PAGE];
    block_usr1();
    file = open("mapped", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    for (int n = 0; n < 8; n++) {
        memset(page, 'A' + n, sizeof page);
        if (write(file, page, PAGE) != PAGE)
            abort();
    }
    make(SHARED, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
    make(SHARED_READ, PROT_READ, MAP_SHARED, 0);
    make(PRIVATE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
    make(CHANGED, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
    make(OFFSET, PROT_READ, MAP_PRIVATE, 6 * PAGE);
    make(SEALED_OFF, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
    madvise(areas[OFFSET].at, 2 * PAGE, MADV_RANDOM);
    memset(areas[CHANGED].at + PAGE, '#', PAGE);
    memset(areas[SEALED_OFF].at + PAGE, '%', PAGE);
    mprotect(areas[SEALED_OFF].at, 4 * PAGE, PROT_NONE);
    serve(check);
}
