/* 32 MiB of known memory; asked, it has one MiB in the middle wiped in children (MADV_WIPEONFORK), and forks one. */
#include "../programs/selfcheck.h"
#include <sys/mman.h>
#include <sys/wait.h>

#define SIZE (32UL << 20)
#define FROM (16UL << 20)
#define TO (17UL << 20)

static unsigned char *heap;

static int holds(size_t from, size_t to, int wanted) {
    for (size_t n = from; n < to; n++)
        if (heap[n] != wanted)
            return 0;
    return 1;
}

static const char *check(void) {
    int status;
    if (madvise(heap + FROM, TO - FROM, MADV_WIPEONFORK))
        return "madvise";
    pid_t child = fork();
    if (child == 0)
        _exit(!holds(FROM, TO, 0) ? 1 : !holds(FROM - 4096, FROM, 7) || !holds(TO, TO + 4096, 7) ? 2 : 0);
    if (waitpid(child, &status, 0) != child || status)
        return status == 0x100 ? "a child has what was to be wiped" : "a child";
    return holds(0, SIZE, 7) ? NULL : "the parent";
}

int main(void) {
    heap = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(heap, 7, SIZE);
    block_usr1();
    serve(check);
}
