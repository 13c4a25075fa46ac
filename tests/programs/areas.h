/* Areas of memory under names, their first bytes marked, and what /proc/self/smaps says of each. */
#include "selfcheck.h"
#include <sys/mman.h>

#define PAGE 4096L

struct area {
    const char *name, *flags; /* VmFlags that smaps must show */
    char *at;
    long pages;
};

static const char *wrong_about(const char *name, const char *what) {
    static char text[640];
    snprintf(text, sizeof text, "%s: %s", name, what);
    return text;
}

/* Each word of flags stands in the VmFlags of the mapping at address; "!xx" must not. */
static const char *flags_of(struct area *a) {
    char line[512], *flags = NULL;
    unsigned long start, end;
    int here = 0;
    FILE *smaps = fopen("/proc/self/smaps", "re");
    while (fgets(line, sizeof line, smaps)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            here = (unsigned long)a->at >= start && (unsigned long)a->at < end;
        if (here && !strncmp(line, "VmFlags:", 8)) {
            flags = line;
            break;
        }
    }
    fclose(smaps);
    if (!flags)
        return wrong_about(a->name, "is not mapped");
    char want[64], *word, *rest;
    snprintf(want, sizeof want, "%s", a->flags);
    for (word = strtok_r(want, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char spaced[8];
        snprintf(spaced, sizeof spaced, " %s", word[0] == '!' ? word + 1 : word);
        if (!strstr(flags, spaced) != (word[0] == '!'))
            return wrong_about(a->name, flags);
    }
    return NULL;
}
