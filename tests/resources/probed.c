/* A program of which one function is probed: it says where that is in its file. */
#include "../programs/selfcheck.h"

static volatile int calls;

__attribute__((noinline)) int probed(int n) {
    calls += n;
    return calls;
}

static const char *check(void) {
    int before = calls;
    return probed(3) == before + 3 ? NULL : "the probed function gives something else";
}

int main(void) {
    char line[300], text[40];
    unsigned long start, end, offset = 0, at = (unsigned long)probed;
    FILE *maps = fopen("/proc/self/maps", "re");
    block_usr1();
    while (fgets(line, sizeof line, maps) && sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3)
        if (at >= start && at < end)
            break;
    fclose(maps);
    snprintf(text, sizeof text, "%lu", at - start + offset);
    write_whole("offset", text);
    serve(check);
}
