/* Huge pages: private, shared, of a memfd, of System V; in parts, by two processes, read-only; some never touched. */
#include "../programs/selfcheck.h"
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>

#define HUGE (2L << 20)
#define RW (PROT_READ | PROT_WRITE)

static char *private, *shared, *part, *both, *view, *segment;
static int file, id, to_child[2], from_child[2];

static char *map(int flags, int fd, long pages, long first) {
    char *at = mmap(NULL, pages * HUGE, RW, flags, fd, first * HUGE);
    if (at == MAP_FAILED) {
        write_whole("missing", strerror(errno));
        abort();
    }
    return at;
}

static const char *page_size(char *at) {
    char line[512];
    unsigned long start, end, kilobytes;
    int here = 0;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    const char *wrong = "is not mapped";
    while (fgets(line, sizeof line, smaps)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            here = (unsigned long)at >= start && (unsigned long)at < end;
        if (here && sscanf(line, "KernelPageSize: %lu", &kilobytes) == 1)
            wrong = kilobytes == 2048 ? NULL : "has pages of another size";
    }
    fclose(smaps);
    return wrong;
}

static void fill(char *at, long pages, int seed) {
    for (long n = 0; n < pages; n++)
        memset(at + n * HUGE, (int)(seed + n), HUGE);
}

static const char *filled(char *at, long pages, int seed, const char *what) {
    for (long n = 0; n < pages; n++)
        for (long byte = 0; byte < HUGE; byte += 4099)
            if (at[n * HUGE + byte] != (char)(seed + n))
                return what;
    return NULL;
}

static const char *child_sees(void) {
    char byte;
    shared[HUGE + 5] = 'P';
    if (write(to_child[1], "x", 1) != 1 || read(from_child[0], &byte, 1) != 1)
        return "the child does not answer";
    const char *wrong = byte == 'P' && shared[HUGE + 6] == 'C' ? NULL : "it is not shared with the child";
    shared[HUGE + 5] = shared[HUGE + 6] = 'b' + 1;
    return wrong;
}

static const char *check(void) {
    char *all[] = {private, shared, part, both, view, segment};
    const char *wrong = NULL;
    for (int n = 0; n < 6 && !wrong; n++)
        wrong = page_size(all[n]);
    if (wrong || (wrong = filled(private, 2, 'a', "private memory differs")))
        return wrong;
    if ((wrong = filled(shared, 2, 'b', "shared memory differs")) || (wrong = filled(both, 2, 'c', "the file differs")))
        return wrong;
    if (private[2 * HUGE] || view[0] != 'v' || view[HUGE] != 'd')
        return "a page that was not touched, or only in a private view, differs";
    if (part[0] != 'd' || (wrong = filled(segment, 1, 's', "the segment differs")))
        return wrong ? wrong : "a part of the file differs";
    part[7] = '!';
    wrong = both[HUGE + 7] == '!' && pread(file, part + 8, 1, HUGE + 7) == 1 && part[8] == '!' ? NULL : "two files";
    part[7] = part[8] = 'd';
    return wrong ? wrong : child_sees();
}

int main(void) {
    block_usr1();
    private = map(MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 3, 0);
    shared = map(MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 2, 0);
    file = memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING);
    if (file < 0 || ftruncate(file, 2 * HUGE) || pipe(to_child) || pipe(from_child))
        abort();
    both = map(MAP_SHARED, file, 2, 0);
    part = map(MAP_SHARED, file, 1, 1);
    view = map(MAP_PRIVATE, file, 2, 0);
    id = shmget(IPC_PRIVATE, HUGE - 100, SHM_HUGETLB | 0600);
    segment = shmat(id, NULL, 0);
    if (segment == (char *)-1)
        abort();
    shmctl(id, IPC_RMID, NULL);
    fill(private, 2, 'a');
    fill(shared, 2, 'b');
    fill(both, 2, 'c');
    fill(segment, 1, 's');
    view[0] = 'v';
    if (fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK))
        abort();
    if (fork() == 0) {
        char byte;
        while (read(to_child[0], &byte, 1) == 1) {
            byte = filled(private, 2, 'a', "") ? '!' : shared[HUGE + 5];
            shared[HUGE + 6] = 'C';
            if (write(from_child[1], &byte, 1) != 1)
                break;
        }
        _exit(0);
    }
    serve(check);
}
