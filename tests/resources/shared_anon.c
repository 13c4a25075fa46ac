/* Anonymous memory shared by parent, child and grandchild: in parts, at other addresses, with other rights. */
#include "../programs/selfcheck.h"
#include <sys/mman.h>

#define PAGE 4096L
#define PAGES 16

static char *memory, *childs;
static int to[2][2], from[2][2];

static int fails(char *at) { /* a read(2) to there tells, without a signal */
    int pipes[2];
    if (pipe(pipes) || write(pipes[1], "x", 1) != 1)
        abort();
    int failed = read(pipes[0], at, 1) < 0;
    close(pipes[0]);
    close(pipes[1]);
    return failed;
}

/* The child has the upper half only, at another place; the grandchild all, but for reading, with a hole. */
static void answer(int which, char *at, long first) {
    char byte;
    while (read(to[which][0], &byte, 1) == 1) {
        int right = at[(10 - first) * PAGE] == byte;
        if (which == 0)
            at[(11 - first) * PAGE] = (char)(byte + 1);
        else
            right = right && fails(at + (10 - first) * PAGE) && at[(11 - first) * PAGE] == byte + 1;
        byte = right ? 'y' : 'n';
        if (write(from[which][1], &byte, 1) != 1)
            break;
    }
    _exit(0);
}

static const char *check(void) {
    static char byte = 'a';
    char said;
    byte = byte == 'a' ? 'c' : 'a';
    memory[10 * PAGE] = byte;
    for (int which = 0; which < 2; which++)
        if (write(to[which][1], &byte, 1) != 1 || read(from[which][0], &said, 1) != 1 || said != 'y')
            return which ? "the grandchild sees another memory" : "the child sees another memory";
    if (memory[11 * PAGE] != byte + 1)
        return "what the child writes does not reach its parent";
    for (long n = 0; n < 10; n++)
        if (memory[n * PAGE] != (char)('A' + n) || childs[n * PAGE] != (char)('A' + n))
            return "contents differ";
    childs[3] = '!';
    const char *wrong = memory[3] == '!' ? NULL : "two mappings in one process are two memories";
    childs[3] = 0;
    return wrong;
}

int main(void) {
    block_usr1();
    memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    childs = mremap(memory, 0, 10 * PAGE, MREMAP_MAYMOVE);
    for (long n = 0; n < PAGES; n++)
        memory[n * PAGE] = (char)('A' + n);
    for (int which = 0; which < 2; which++)
        if (pipe(to[which]) || pipe(from[which]))
            abort();
    if (fork() == 0) {
        if (fork() == 0) {
            munmap(memory + 4 * PAGE, PAGE);
            mprotect(memory, 4 * PAGE, PROT_READ);
            mprotect(memory + 5 * PAGE, 11 * PAGE, PROT_READ);
            answer(1, memory, 0);
        }
        char *room = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        char *at = mremap(memory + 8 * PAGE, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
        munmap(memory, 8 * PAGE);
        answer(0, at, 8);
    }
    serve(check);
}
