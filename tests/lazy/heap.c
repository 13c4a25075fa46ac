/* heap MIB: so much memory, each word of which is known; SIGUSR1 has it compared. */
#include "../programs/selfcheck.h"
#include <sys/mman.h>

static uint64_t *heap;
static size_t words;

static uint64_t word(size_t n) { return (n + 1) * 0x9E3779B97F4A7C15ull; }

static const char *check(void) {
    static char wrong[80];
    for (size_t n = 0; n < words; n++)
        if (heap[n] != word(n)) {
            snprintf(wrong, sizeof wrong, "word %zu is %llx", n, (unsigned long long)heap[n]);
            return wrong;
        }
    return NULL;
}

int main(int count, char **words_of_command) {
    size_t size = (size_t)atoi(count > 1 ? words_of_command[1] : "32") << 20;
    words = size / sizeof *heap;
    heap = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(heap, size, MADV_NOHUGEPAGE);
    for (size_t n = 0; n < words; n++)
        heap[n] = word(n);
    block_usr1();
    serve(check);
}
