/* 10,000 mappings: pages of one area with alternating protections, half of them written, and separate ones of a file. */
#include "selfcheck.h"
#include <sys/mman.h>

#define PAGE 4096L
#define PAGES 9600L
#define FILES 400L

static char *area;
static char *file[FILES];

static char mark(long n) {
    return (char)(n * 31 + 7);
}

static const char *check(void) {
    for (long n = 0; n < PAGES; n++) {
        char want = n % 4 < 2 ? mark(n) : 0;
        if (area[n * PAGE] != want || area[n * PAGE + PAGE - 1] != want)
            return "a page of the area differs";
    }
    for (long n = 0; n < FILES; n++)
        if (file[n][0] != 'f' || file[n][1] != (n % 2 ? mark(n) : 'f'))
            return "a page of the file differs";
    for (long n = 0; n < PAGES; n += 2)
        area[n * PAGE + 1]++; /* writable still */
    return NULL;
}

static int make_file(void) {
    char page[PAGE];
    int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    memset(page, 'f', sizeof page);
    for (long n = 0; n < FILES; n++)
        if (write(fd, page, PAGE) != PAGE)
            abort();
    return fd;
}

int main(void) {
    block_usr1();
    area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long n = 0; n < PAGES; n++) {
        if (n % 4 < 2)
            area[n * PAGE] = area[n * PAGE + PAGE - 1] = mark(n);
        if (n % 2 && mprotect(area + n * PAGE, PAGE, PROT_READ))
            abort();
    }
    int fd = make_file();
    for (long n = 0; n < FILES; n++) {
        file[n] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, n % 2 ? MAP_PRIVATE : MAP_SHARED, fd, n * PAGE);
        if (file[n] == MAP_FAILED)
            abort();
        if (n % 2)
            file[n][1] = mark(n);
    }
    close(fd);
    serve(check);
}
